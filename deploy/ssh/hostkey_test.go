//go:build linux

package ssh

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestUnknownHostKey(t *testing.T) {
	h, c := startHost(t), newClient(t)
	h.allow(newKey(t, filepath.Join(c.dir, "id"), "").PublicKey())
	c.config("IdentityFile DIR/id")
	o := c.options(h, "deploy")
	fault := dialFails(t, o, KindHostKey)
	var unknown *HostKeyUnknownError
	if !errors.As(fault, &unknown) || unknown.Fingerprint() != ssh.FingerprintSHA256(h.hostKey.PublicKey()) {
		t.Fatalf("not a HostKeyUnknownError with the fingerprint: %v", fault)
	}
	for _, want := range []string{"dray host trust p1", "Nothing was sent", unknown.Fingerprint(), "ED25519"} {
		if !strings.Contains(fault.Error(), want) {
			t.Errorf("the message lacks %q:\n%v", want, fault)
		}
	}
	if log := h.log.String(); strings.Contains(log, "Accepted") || strings.Contains(log, "deploy") {
		t.Errorf("something was sent:\n%s", log)
	}
	keys, err := NewDialer().ScanHostKeys(t.Context(), o)
	if err != nil || len(keys) != 1 || keys[0].Fingerprint() != unknown.Fingerprint() {
		t.Fatalf("ScanHostKeys: %v %v", keys, err)
	}
	again, err := ParseHostKey(keys[0].Text())
	if err != nil {
		t.Fatal(err)
	}
	o.Trusted = []ssh.PublicKey{again}
	whoami(t, mustDial(t, o), "deploy")
	o.Trusted = nil
	if err := appendFile(c.known, "[127.0.0.1]:"+h.port+" "+keys[0].Text()+"\n"); err != nil {
		t.Fatal(err)
	}
	whoami(t, mustDial(t, o), "deploy")
}

func TestChangedHostKey(t *testing.T) {
	h, o := ready(t, "deploy")
	other := newKey(t, filepath.Join(h.dir, "host_key"), "") // the host is set up anew
	h.stop()
	h.start()
	fault := dialFails(t, o, KindHostKey)
	var changed *HostKeyChangedError
	if !errors.As(fault, &changed) {
		t.Fatalf("not a HostKeyChangedError: %v", fault)
	}
	for _, want := range []string{ssh.FingerprintSHA256(h.hostKey.PublicKey()), ssh.FingerprintSHA256(other.PublicKey()), "known_hosts:1", "HAS CHANGED"} {
		if !strings.Contains(fault.Error(), want) {
			t.Errorf("the message lacks %q:\n%v", want, fault)
		}
	}
	if log := h.log.String(); strings.Contains(log, "deploy") {
		t.Errorf("something was sent:\n%s", log)
	}
	o.Trusted = []ssh.PublicKey{h.hostKey.PublicKey()}
	if fault := dialFails(t, o, KindHostKey); !strings.Contains(fault.Error(), LockFile) {
		t.Errorf("does not name the lock file: %v", fault)
	}
	o.Trusted = []ssh.PublicKey{other.PublicKey()}
	whoami(t, mustDial(t, o), "deploy")
}

// TestKnownKeyOfAnotherKind has a host with two keys of which only the less
// preferred one is known.
func TestKnownKeyOfAnotherKind(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", dir+"/ecdsa").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	newKey(t, dir+"/ed25519", "")
	h, c := startHost(t, "HostKey "+dir+"/ed25519", "HostKey "+dir+"/ecdsa"), newClient(t)
	h.allow(newKey(t, filepath.Join(c.dir, "id"), "").PublicKey())
	text, err := os.ReadFile(dir + "/ecdsa.pub")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseHostKey(string(text))
	if err != nil {
		t.Fatal(err)
	}
	c.knows(h, key)
	c.config("IdentityFile DIR/id")
	whoami(t, mustDial(t, c.options(h, "deploy")), "deploy")
	if out, err := exec.Command("ssh-keygen", "-H", "-f", c.known).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	whoami(t, mustDial(t, c.options(h, "deploy")), "deploy")
	keys, err := NewDialer().ScanHostKeys(t.Context(), c.options(h, "deploy"))
	if err != nil || len(keys) != 2 || keys[0].Type() != "ED25519" || keys[1].Type() != "ECDSA" {
		t.Errorf("ScanHostKeys: %v %v", keys, err)
	}
}
