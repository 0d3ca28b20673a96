//go:build linux

package ssh

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"dray/pipeline/output"
)

// host is a real sshd on loopback, as hardened as dray must cope with.
type host struct {
	t       testing.TB
	dir     string
	port    string
	hostKey ssh.Signer
	cmd     *exec.Cmd
	log     *output.Tail
	trusted string // file with the keys that may log in
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// newKey makes an ed25519 key and writes it to path and path.pub.
func newKey(t testing.TB, path string, passphrase string) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(crypto.PrivateKey(private), "test")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(crypto.PrivateKey(private), "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(pem.EncodeToMemory(block)))
	write(t, path+".pub", string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	return signer
}

// startHost starts an sshd; extra are lines of its configuration.
func startHost(t testing.TB, extra ...string) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), port: freePort(t), log: &output.Tail{}}
	if err := os.Chmod(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := h.dir; dir != "/"; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755|os.ModeSticky&modeOf(dir)|modeOf(dir)&0o022)
	}
	h.hostKey = newKey(t, filepath.Join(h.dir, "host_key"), "")
	h.trusted = filepath.Join(h.dir, "authorized_keys")
	write(t, h.trusted, "")
	if err := os.Chmod(h.trusted, 0o644); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`ListenAddress 127.0.0.1
Port %s
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AuthorizedKeysFile %s
MaxStartups 100
UseDNS no
LogLevel VERBOSE
`, h.port, h.trusted)
	config += strings.Join(extra, "\n") + "\n"
	if !strings.Contains(config, "AllowTcpForwarding") {
		config += "DisableForwarding yes\n"
	}
	if !strings.Contains(config, "\nHostKey ") {
		config += "HostKey " + filepath.Join(h.dir, "host_key") + "\n"
	}
	write(t, filepath.Join(h.dir, "sshd_config"), config)
	h.start()
	return h
}

func modeOf(dir string) os.FileMode {
	info, err := os.Stat(dir)
	if err != nil {
		return 0
	}
	return info.Mode()
}

func (h *host) start() {
	h.t.Helper()
	h.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(h.dir, "sshd_config"))
	h.cmd.Stderr = h.log
	h.cmd.WaitDelay = time.Second // sessions may outlive it
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(h.stop)
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", "127.0.0.1:"+h.port)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("sshd does not start: %v\n%s", err, h.log)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (h *host) stop() {
	if h.cmd.ProcessState == nil {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
	}
}

// allow lets a key log in.
func (h *host) allow(key ssh.PublicKey) {
	h.t.Helper()
	if err := appendFile(h.trusted, string(ssh.MarshalAuthorizedKey(key))); err != nil {
		h.t.Fatal(err)
	}
}

// client is a user's ~/.ssh.
type client struct {
	t     testing.TB
	dir   string
	known string
}

func newClient(t testing.TB) *client {
	t.Helper()
	t.Setenv("SSH_AUTH_SOCK", "")
	c := &client{t: t, dir: t.TempDir()}
	c.known = filepath.Join(c.dir, "known_hosts")
	write(t, c.known, "")
	write(t, filepath.Join(c.dir, "config"), "")
	return c
}

// config writes ~/.ssh/config; KNOWN and DIR are replaced.
func (c *client) config(text string) {
	text = strings.NewReplacer("KNOWN", c.known, "DIR", c.dir).Replace(text)
	write(c.t, filepath.Join(c.dir, "config"), text+fmt.Sprintf("\nHost *\n  UserKnownHostsFile %s\n  GlobalKnownHostsFile none\n", c.known))
}

// knows adds a line for the host to known_hosts.
func (c *client) knows(h *host, key ssh.PublicKey) {
	c.t.Helper()
	line := "[127.0.0.1]:" + h.port + " " + HostKey{Key: key}.Text()
	if err := appendFile(c.known, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) options(h *host, user string) Options {
	return Options{Name: "p1", Address: "ssh://" + user + "@127.0.0.1:" + h.port, Config: filepath.Join(c.dir, "config")}
}

// ready returns a host and the options of a user who may log in.
func ready(t testing.TB, user string, extra ...string) (*host, Options) {
	t.Helper()
	h, c := startHost(t, extra...), newClient(t)
	key := newKey(t, filepath.Join(c.dir, "id"), "")
	h.allow(key.PublicKey())
	c.knows(h, h.hostKey.PublicKey())
	c.config("IdentityFile DIR/id")
	return h, c.options(h, user)
}

// serveAgent serves an SSH agent, and returns its socket.
func serveAgent(t testing.TB, keyring agent.Agent) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keyring, conn) }()
		}
	}()
	return socket
}

func mkdir(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
