//go:build linux

package ssh

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// signed gives h a host certificate for a principal, and returns its authority.
func (h *host) signed(principal string) ssh.PublicKey {
	h.t.Helper()
	ca := newKey(h.t, filepath.Join(h.t.TempDir(), "ca"), "")
	cert := &ssh.Certificate{Key: h.hostKey.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{principal}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		h.t.Fatal(err)
	}
	write(h.t, filepath.Join(h.dir, "host_key-cert.pub"), string(ssh.MarshalAuthorizedKey(cert)))
	if err := appendFile(filepath.Join(h.dir, "sshd_config"), "HostCertificate "+h.dir+"/host_key-cert.pub\n"); err != nil {
		h.t.Fatal(err)
	}
	h.stop()
	h.start()
	return ca.PublicKey()
}

// TestKnownHostsAsSSHReadsThem compares what dray and ssh make of entries for a
// server on another port than 22. KEY is its key, OTHER another one of the
// same kind, CA the authority of its certificate.
func TestKnownHostsAsSSHReadsThem(t *testing.T) {
	h, c := startHost(t), newClient(t)
	key := newKey(t, filepath.Join(c.dir, "id"), "")
	h.allow(key.PublicKey())
	ca := h.signed("127.0.0.1")
	other := newKey(t, filepath.Join(c.dir, "other"), "").PublicKey()
	line := func(k ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) }
	const good, unknown, changed, revoked = "", "HostKeyUnknownError", "HostKeyChangedError", "HostKeyRevokedError"
	for _, x := range []struct{ name, entries, options, want string }{
		{"nothing", "", "", unknown},
		{"its port", "[127.0.0.1]:PORT KEY", "", good},
		{"no port", "127.0.0.1 KEY", "", good},
		{"another port", "[127.0.0.1]:1 KEY", "", unknown},
		{"a pattern", "127.0.0.* KEY", "", good},
		{"a pattern for all", "* KEY", "", good},
		{"negated", "127.0.0.*,!127.0.0.1 KEY", "", unknown},
		{"hashed, its port", "HASH:[127.0.0.1]:PORT KEY", "", good},
		{"hashed, no port", "HASH:127.0.0.1 KEY", "", good},
		{"another key", "[127.0.0.1]:PORT OTHER", "", changed},
		{"another key without a port", "127.0.0.1 OTHER", "", unknown},
		{"another key, and no port's", "[127.0.0.1]:PORT OTHER\n127.0.0.1 KEY", "HostKeyAlgorithms ssh-ed25519", changed},
		{"both keys", "[127.0.0.1]:PORT OTHER\n[127.0.0.1]:PORT KEY", "", good},
		{"authority, its port", "@cert-authority [127.0.0.1]:PORT CA", "", good},
		{"authority, no port", "@cert-authority 127.0.0.1 CA", "", good},
		{"authority of a pattern", "@cert-authority * CA", "", good},
		{"another authority", "@cert-authority * OTHER", "", unknown},
		{"another authority, and the key", "@cert-authority * OTHER\n127.0.0.1 KEY", "", good},
		{"authority without a certificate wanted", "@cert-authority * CA\n[127.0.0.1]:PORT KEY", "HostKeyAlgorithms ssh-ed25519", good},
		{"revoked", "@revoked * KEY\n[127.0.0.1]:PORT KEY", "", revoked},
		{"revoked authority", "@revoked * CA\n@cert-authority * CA", "", revoked},
		{"revoked without a port", "@revoked 127.0.0.1 KEY\n127.0.0.1 KEY", "", revoked},
		{"lines that are none", "127.0.0.1 ssh-ed25519 AAAA\nx ssh-new AAAA\n# comment\n\n127.0.0.1 KEY", "", good},
		{"alias", "web KEY", "HostKeyAlias web", good},
		{"alias, entry with a port", "[web]:PORT KEY", "HostKeyAlias web", unknown},
		{"a command", "", "KnownHostsCommand /bin/echo %H KEY", good},
		{"a command for the key", "", "KnownHostsCommand /bin/echo %H %t %K\nHostKeyAlgorithms ssh-ed25519", good},
		{"a command without the port", "", "KnownHostsCommand /bin/echo 127.0.0.1 KEY", unknown},
		{"a command of another key", "", "KnownHostsCommand /bin/echo %H OTHER", changed},
		{"revoked by a file", "127.0.0.1 KEY", "RevokedHostKeys DIR/revoked", revoked},
		{"revoked by a list", "127.0.0.1 KEY", "RevokedHostKeys DIR/list", revoked},
		{"another revoked by a list", "127.0.0.1 KEY", "RevokedHostKeys DIR/other-list", good},
		{"revoked by a file that is away", "127.0.0.1 KEY", "RevokedHostKeys DIR/away", revoked},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := strings.NewReplacer("PORT", h.port, "KEY", line(h.hostKey.PublicKey()), "OTHER", line(other), "CA", line(ca), "DIR", c.dir)
			entries := strings.Split(r.Replace(x.entries), "\n")
			for i, entry := range entries {
				if rest, ok := strings.CutPrefix(entry, "HASH:"); ok {
					name, key, _ := strings.Cut(rest, " ")
					entries[i] = knownhosts.HashHostname(name) + " " + key
				}
			}
			write(t, c.known, strings.Join(entries, "\n")+"\n")
			write(t, filepath.Join(c.dir, "revoked"), line(other)+"\n"+line(h.hostKey.PublicKey())+"\n")
			revocationList(t, c.dir, "list", h.hostKey.PublicKey())
			revocationList(t, c.dir, "other-list", other)
			c.config(r.Replace(x.options) + "\nIdentityFile DIR/id\nIdentitiesOnly yes")
			conn, err := NewDialer().Dial(t.Context(), c.options(h, "deploy"))
			if err == nil {
				_ = conn.Close()
			}
			if got := hostKeyFault(err); got != x.want {
				t.Errorf("dray: %q, want %q (%v)", got, x.want, err)
			}
			out, err := exec.Command("ssh", "-F", filepath.Join(c.dir, "config"), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
				"-p", h.port, "deploy@127.0.0.1", "true").CombinedOutput()
			if (err == nil) != (x.want == good) {
				t.Errorf("ssh does otherwise: %v\n%s", err, out)
			}
		})
	}
}

// revocationList makes a binary one.
func revocationList(t testing.TB, dir, name string, key ssh.PublicKey) {
	t.Helper()
	public := filepath.Join(dir, name+".pub")
	write(t, public, string(ssh.MarshalAuthorizedKey(key)))
	_ = os.Remove(filepath.Join(dir, name))
	if out, err := exec.Command("ssh-keygen", "-q", "-k", "-f", filepath.Join(dir, name), public).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// hostKeyFault returns the type of an error about a host's key.
func hostKeyFault(err error) string {
	var unknown *HostKeyUnknownError
	var changed *HostKeyChangedError
	var revoked *HostKeyRevokedError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &unknown):
		return "HostKeyUnknownError"
	case errors.As(err, &changed):
		return "HostKeyChangedError"
	case errors.As(err, &revoked):
		return "HostKeyRevokedError"
	}
	return err.Error()
}
