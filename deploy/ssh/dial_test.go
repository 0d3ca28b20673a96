//go:build linux

package ssh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// mustDial dials and closes at the test's end.
func mustDial(t testing.TB, o Options) *Conn {
	t.Helper()
	conn, err := NewDialer().Dial(t.Context(), o)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func whoami(t testing.TB, conn Transport, want string) {
	t.Helper()
	out, stderr, err := Run(t.Context(), conn, "id -un", nil)
	if err != nil || strings.TrimSpace(string(out)) != want {
		t.Fatalf("id -un: %q %q %v, want %s", out, stderr, err, want)
	}
}

func dialFails(t testing.TB, o Options, kind string) *DialError {
	t.Helper()
	conn, err := NewDialer().Dial(t.Context(), o)
	if err == nil {
		_ = conn.Close()
		t.Fatal("Dial succeeded")
	}
	var fault *DialError
	if !errors.As(err, &fault) || fault.Kind != kind {
		t.Fatalf("Dial: %v (%T), want kind %s", err, err, kind)
	}
	if fault.Next == "" {
		t.Errorf("no next step for %v", err)
	}
	return fault
}

func TestDialWithKey(t *testing.T) {
	for _, user := range []string{"root", "deploy"} {
		t.Run(user, func(t *testing.T) {
			_, o := ready(t, user)
			conn := mustDial(t, o)
			whoami(t, conn, user)
			if s := conn.Stats(); s.Sent == 0 || s.Received == 0 {
				t.Errorf("Stats: %+v", s)
			}
		})
	}
}

func TestRun(t *testing.T) {
	_, o := ready(t, "root")
	for name, transport := range map[string]Transport{"ssh": mustDial(t, o), "local": Local("local")} {
		t.Run(name, func(t *testing.T) {
			out, _, err := Run(t.Context(), transport, "cat; echo oops >&2; exit 3", strings.NewReader("in"))
			var exit *ExitError
			if !errors.As(err, &exit) || exit.Code != 3 || exit.Stderr != "oops" || string(out) != "in" {
				t.Errorf("Run: %q %v", out, err)
			}
			big := bytes.Repeat([]byte("dray"), 1<<20)
			if out, _, err = Run(t.Context(), transport, "cat", bytes.NewReader(big)); err != nil || !bytes.Equal(out, big) {
				t.Errorf("4 MiB there and back: %d bytes, %v", len(out), err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			begun := time.Now()
			if _, _, err = Run(ctx, transport, "exec sleep 60", nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Run cut off: %v", err)
			}
			if took := time.Since(begun); took > 8*time.Second {
				t.Errorf("cutting off took %s", took)
			}
			if _, _, err = Run(t.Context(), transport, "true", strings.NewReader("not read")); err != nil {
				t.Errorf("a command that reads no input: %v", err)
			}
		})
	}
}

func TestDialWithAgent(t *testing.T) {
	h, c := startHost(t), newClient(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: private, Comment: "mira"}); err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	h.allow(key)
	c.knows(h, h.hostKey.PublicKey())
	c.config("")
	t.Setenv("SSH_AUTH_SOCK", serveAgent(t, keyring))
	whoami(t, mustDial(t, c.options(h, "deploy")), "deploy")

	// Too many other keys: the one that the configuration names goes first.
	for range 10 {
		_, other, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := keyring.Add(agent.AddedKey{PrivateKey: other}); err != nil {
			t.Fatal(err)
		}
	}
	if err := keyring.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(c.dir, "mira.pub"), string(ssh.MarshalAuthorizedKey(key)))
	c.config("IdentityFile DIR/mira\nIdentitiesOnly yes")
	whoami(t, mustDial(t, c.options(h, "deploy")), "deploy")
	c.config("IdentityFile DIR/mira.pub")
	whoami(t, mustDial(t, c.options(h, "deploy")), "deploy")
}

func TestDialWithCertificates(t *testing.T) {
	c := newClient(t)
	ca := newKey(t, filepath.Join(c.dir, "ca"), "")
	dir := t.TempDir()
	hostKey := newKey(t, filepath.Join(dir, "host"), "")
	sign := func(key ssh.PublicKey, kind uint32, principals ...string) *ssh.Certificate {
		cert := &ssh.Certificate{Key: key, CertType: kind, ValidPrincipals: principals, ValidBefore: ssh.CertTimeInfinity,
			Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": ""}}}
		if err := cert.SignCert(rand.Reader, ca); err != nil {
			t.Fatal(err)
		}
		return cert
	}
	write(t, filepath.Join(dir, "host-cert.pub"), string(ssh.MarshalAuthorizedKey(sign(hostKey.PublicKey(), ssh.HostCert, "127.0.0.1"))))
	h := startHost(t, "HostKey "+dir+"/host", "HostCertificate "+dir+"/host-cert.pub", "TrustedUserCAKeys "+c.dir+"/ca.pub")
	if err := os.Chmod(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	user := newKey(t, filepath.Join(c.dir, "id"), "")
	write(t, filepath.Join(c.dir, "id-cert.pub"), string(ssh.MarshalAuthorizedKey(sign(user.PublicKey(), ssh.UserCert, "deploy"))))
	write(t, c.known, "@cert-authority [127.0.0.1]:"+h.port+" "+string(ssh.MarshalAuthorizedKey(ca.PublicKey())))
	c.config("IdentityFile DIR/id")
	whoami(t, mustDial(t, c.options(h, "deploy")), "deploy")
	dialFails(t, c.options(h, "root"), KindAuth) // not among the principals

	if err := appendFile(c.known, "@revoked * "+string(ssh.MarshalAuthorizedKey(hostKey.PublicKey()))); err != nil {
		t.Fatal(err)
	}
	dialFails(t, c.options(h, "deploy"), KindHostKey)
}

func TestDialWithEncryptedKey(t *testing.T) {
	h, c := startHost(t), newClient(t)
	h.allow(newKey(t, filepath.Join(c.dir, "id"), "open sesame").PublicKey())
	c.knows(h, h.hostKey.PublicKey())
	c.config("IdentityFile DIR/id")
	o := c.options(h, "deploy")
	fault := dialFails(t, o, KindAuth)
	if !strings.Contains(fault.Error(), "ssh-add") {
		t.Errorf("does not say ssh-add: %v", fault)
	}
	asked := 0
	o.Passphrase = func(context.Context, string) ([]byte, error) { asked++; return []byte("open sesame"), nil }
	whoami(t, mustDial(t, o), "deploy")
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	h.trusted = filepath.Join(h.dir, "authorized_keys")
	write(t, h.trusted, "")
	dialFails(t, o, KindAuth)
	if asked != 1 {
		t.Errorf("asked for the passphrase of a key that the host does not accept")
	}
}

func TestJumpHosts(t *testing.T) {
	bastion, target, c := startHost(t, "AllowTcpForwarding local"), startHost(t), newClient(t)
	key := newKey(t, filepath.Join(c.dir, "id"), "")
	bastion.allow(key.PublicKey())
	target.allow(key.PublicKey())
	c.config("IdentityFile DIR/id")
	o := c.options(target, "deploy")
	o.Jump = "ssh://root@127.0.0.1:" + bastion.port
	if fault := dialFails(t, o, KindHostKey); !strings.Contains(fault.Error(), bastion.port) {
		t.Errorf("the bastion's key was not checked: %v", fault)
	}
	c.knows(bastion, bastion.hostKey.PublicKey())
	dialFails(t, o, KindHostKey)
	c.knows(target, target.hostKey.PublicKey())
	whoami(t, mustDial(t, o), "deploy")
	o.Jump += ",ssh://deploy@127.0.0.1:" + bastion.port // the bastion once more: two jumps
	whoami(t, mustDial(t, o), "deploy")

	c.config("Host p1\n HostName 127.0.0.1\n User deploy\n Port " + target.port + "\n ProxyJump bastion\n" +
		"Host bastion\n HostName 127.0.0.1\n User root\n Port " + bastion.port + "\nMatch exec \"false\"\n User nobody\nHost *\n IdentityFile DIR/id")
	o = Options{Address: "p1", Config: o.Config}
	conn := mustDial(t, o)
	whoami(t, conn, "deploy")
	if conn.Name() != "p1" {
		t.Errorf("Name: %s", conn.Name())
	}

	o.Jump = "ssh://deploy@127.0.0.1:" + target.port // forwards nothing
	dialFails(t, o, KindJump)
	c.config("Host p1\n User deploy\n HostName 127.0.0.1\n Port " + target.port + "\n ProxyCommand ssh -F none -i DIR/id -o UserKnownHostsFile=KNOWN -p " + bastion.port + " -W %h:%p root@127.0.0.1\nHost *\n IdentityFile DIR/id")
	whoami(t, mustDial(t, Options{Address: "p1", Config: o.Config}), "deploy")
	c.config("Host p1\n ProxyCommand nosuchprogram %h %p\nHost *\n IdentityFile DIR/id")
	if fault := dialFails(t, Options{Address: "p1", Config: o.Config}, KindProtocol); !strings.Contains(fault.Error(), "nosuchprogram") {
		t.Errorf("does not say what the ProxyCommand said: %v", fault)
	}
	c.config("Host *\n ProxyJump a,b")
	dialFails(t, Options{Address: "p1", Config: o.Config}, KindAddress)
}

func TestUnreachable(t *testing.T) {
	c := newClient(t)
	c.config("")
	config := filepath.Join(c.dir, "config")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, x := range []struct{ address, kind string }{
		{"ssh://127.0.0.1:" + freePort(t), KindRefused},
		{"ssh://nothing.invalid", KindResolve},
		{"ssh://" + silent.Addr().String(), KindTimeout},
		{"http://p1", KindAddress},
		{"ssh://", KindAddress},
		{"ssh://p1:99999", KindAddress},
	} {
		t.Run(x.kind, func(t *testing.T) {
			fault := dialFails(t, Options{Name: "p1", Address: x.address, Config: config, Timeout: 500 * time.Millisecond}, x.kind)
			if !strings.Contains(fault.Error(), "p1") {
				t.Errorf("does not name the host: %v", fault)
			}
			t.Log(fault, "→", fault.Next)
		})
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by hand")
	time.AfterFunc(50*time.Millisecond, func() { cancel(stopped) })
	if _, err := NewDialer().Dial(ctx, Options{Address: "ssh://" + silent.Addr().String(), Config: config}); !errors.Is(err, stopped) {
		t.Errorf("cancelled Dial: %v", err)
	}
}

func TestNoKeyIsAccepted(t *testing.T) {
	h, c := startHost(t), newClient(t)
	key := newKey(t, filepath.Join(c.dir, "id"), "")
	c.knows(h, h.hostKey.PublicKey())
	c.config("IdentityFile DIR/id\nIdentityFile DIR/absent")
	fault := dialFails(t, c.options(h, "deploy"), KindAuth)
	for _, want := range []string{ssh.FingerprintSHA256(key.PublicKey()), "absent", "deploy"} {
		if !strings.Contains(fault.Error(), want) {
			t.Errorf("the message lacks %q: %v", want, fault)
		}
	}
	t.Log(fault, "→", fault.Next)
}

// TestDeadPeer has a wire that swallows everything once it is cut, as a
// network that is gone does.
func TestDeadPeer(t *testing.T) {
	h, o := ready(t, "deploy")
	wire := newRelay(t, "127.0.0.1:"+h.port)
	o.Address = "ssh://deploy@" + wire.address
	o.Trusted = []ssh.PublicKey{h.hostKey.PublicKey()}
	o.KeepAlive = 100 * time.Millisecond
	conn := mustDial(t, o)
	whoami(t, conn, "deploy")
	wire.cut()
	begun := time.Now()
	_, _, err := Run(t.Context(), conn, "true", nil)
	if !errors.Is(err, ErrLost) || !errors.Is(conn.Err(), ErrLost) {
		t.Errorf("Run over a dead wire: %v; Err: %v", err, conn.Err())
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("noticed after %s", took)
	}
}
