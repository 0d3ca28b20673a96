package connect

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"dray/targets/api"
)

// fakeProcess is a process in a /proc of a test.
type fakeProcess struct {
	name    string
	uid     int
	environ map[string]string
}

// fakeProc makes a /proc in which each process is the parent of the one before it.
func fakeProc(t *testing.T, loginuid string, line ...fakeProcess) processes {
	t.Helper()
	p := processes{t.TempDir()}
	for i, one := range line {
		var environ strings.Builder
		for key, value := range one.environ {
			environ.WriteString(key + "=" + value + "\x00")
		}
		parent := i + 2
		if i == len(line)-1 {
			parent = 0
		}
		for name, text := range map[string]string{
			"status":   fmt.Sprintf("Name:\t%s\nPPid:\t%d\nUid:\t%d\t0\t0\t0\n", one.name, parent, one.uid),
			"environ":  environ.String(),
			"loginuid": loginuid,
		} {
			path := p.path(i+1, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

func publicKey(t *testing.T) (ssh.PublicKey, ssh.Signer) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key, signer
}

// auth writes what sshd tells of a login with ExposeAuthInfo.
func auth(t *testing.T, keys ...ssh.PublicKey) string {
	t.Helper()
	text := "password\n"
	for _, key := range keys {
		text += "publickey " + string(ssh.MarshalAuthorizedKey(key))
	}
	path := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const nobody = 65534 // a user of every system

func TestIdentify(t *testing.T) {
	key, signer := publicKey(t)
	other, _ := publicKey(t)
	certificate := &ssh.Certificate{Key: key, KeyId: "anna@example.com", CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := certificate.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	session := func(path string) map[string]string {
		return map[string]string{"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 22", "SSH_USER_AUTH": path}
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(auth(t, key), link); err != nil {
		t.Fatal(err)
	}
	none := strconv.Itoa(noLogin)
	sshd, init := fakeProcess{name: "sshd-session", uid: nobody}, fakeProcess{name: "init"}
	seen := api.Identity{Account: "nobody", Key: ssh.FingerprintSHA256(key), Address: "192.0.2.7", Role: "look"}
	for name, c := range map[string]struct {
		proc processes
		want api.Identity
	}{
		"a forced command with sudo": {fakeProc(t, none,
			fakeProcess{name: "drayd"}, fakeProcess{name: "sudo", environ: session(auth(t, key))}, sshd, fakeProcess{name: "sshd"}, init), seen},
		"what a shell between says does not count": {fakeProc(t, none,
			fakeProcess{name: "drayd", environ: session(auth(t, other))}, fakeProcess{name: "sudo", environ: session(auth(t, other))},
			fakeProcess{name: "sh", uid: nobody, environ: session(auth(t, key))}, sshd, init), seen},
		"several keys": {fakeProc(t, none, fakeProcess{name: "drayd"}, fakeProcess{name: "sudo", environ: session(auth(t, key, other))}, sshd, init), seen},
		"a certificate": {fakeProc(t, none, fakeProcess{name: "drayd"}, fakeProcess{name: "sudo", environ: session(auth(t, certificate))}, sshd, init),
			api.Identity{Account: "nobody", Key: ssh.FingerprintSHA256(key), Certificate: "anna@example.com", Address: "192.0.2.7", Role: "look"}},
		"the login's user goes first": {fakeProc(t, "0", fakeProcess{name: "drayd"}, fakeProcess{name: "sudo", environ: session(auth(t, key))}, sshd, init),
			api.Identity{Account: "root", Key: ssh.FingerprintSHA256(key), Address: "192.0.2.7", Role: "look"}},
		"root itself": {fakeProc(t, none, fakeProcess{name: "drayd", environ: session(auth(t, key))}, fakeProcess{name: "sshd"}, init),
			api.Identity{Account: "root", Key: ssh.FingerprintSHA256(key), Address: "192.0.2.7", Role: "look"}},
		"sshd does not tell": {fakeProc(t, none, fakeProcess{name: "drayd"}, fakeProcess{name: "sudo", environ: session("")}, sshd, init),
			api.Identity{Account: "nobody", Address: "192.0.2.7", Role: "look"}},
		"a pipe in place of the file": {fakeProc(t, none, fakeProcess{name: "drayd"}, fakeProcess{name: "sudo", environ: session(pipe)}, sshd, init),
			api.Identity{Account: "nobody", Address: "192.0.2.7", Role: "look"}},
		"a link in place of the file": {fakeProc(t, none, fakeProcess{name: "drayd"}, fakeProcess{name: "sudo", environ: session(link)}, sshd, init),
			api.Identity{Account: "nobody", Address: "192.0.2.7", Role: "look"}},
		"no sshd: what its environment says is nobody's word": {fakeProc(t, none,
			fakeProcess{name: "drayd", environ: session(auth(t, key))}, fakeProcess{name: "sudo"}, fakeProcess{name: "dray", uid: nobody}, init),
			api.Identity{Account: "nobody", Role: "look"}},
		"no /proc": {processes{t.TempDir()}, api.Identity{Role: "look"}},
	} {
		if got := c.proc.identify(1, "look"); got != c.want {
			t.Errorf("%s: it is %+v, want %+v", name, got, c.want)
		}
	}
}

// TestIdentifyThisProcess reads the real /proc.
func TestIdentifyThisProcess(t *testing.T) {
	if got := identify("admin"); got.Account == "" || got.Role != "admin" {
		t.Errorf("it is %+v", got)
	}
}

func TestRoleOfNoMeaning(t *testing.T) {
	err := Run(t.Context(), Options{Stdio: silence{}, Role: "deploy"})
	if err == nil || !strings.Contains(err.Error(), "it takes an environment") {
		t.Errorf("role deploy: %v", err)
	}
}

// silence is a client that must not be greeted.
type silence struct{}

func (silence) Read([]byte) (int, error)  { return 0, os.ErrClosed }
func (silence) Write([]byte) (int, error) { return 0, os.ErrClosed }
func (silence) Close() error              { return nil }
