package testenv

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// newKey makes an ed25519 key: the private half in OpenSSH's PEM form, the
// public one as an authorized_keys line.
func newKey(comment string) (private, public []byte, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a key: %w", err)
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a key: %w", err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPub))) + " " + comment + "\n"
	return pem.EncodeToMemory(block), []byte(line), nil
}

// writeKeyPair makes a key in files path and path.pub.
func writeKeyPair(path, comment string) error {
	private, public, err := newKey(comment)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path, private, 0o600), os.WriteFile(path+".pub", public, 0o644))
}

func (l *Lab) writeKey() error { return writeKeyPair(l.KeyFile, "lab-"+l.Name) }

// addHosts adds hosts that do not run yet, each with a folder and a key of
// its own, and writes the client's SSH files anew.
func (l *Lab) addHosts(names []string) error {
	for _, name := range names {
		hs := &hostState{Name: name, Number: firstHost + len(l.state.Hosts)}
		if hs.Number >= firstHost+maxHosts {
			return fmt.Errorf("adding host %s: the lab has no address left", name)
		}
		h := &Host{Name: name, Addr: l.state.address(hs.Number), lab: l, state: hs}
		if err := os.MkdirAll(h.Dir(), 0o755); err != nil {
			return err
		}
		if err := writeKeyPair(filepath.Join(h.Dir(), "host_key"), "root@"+name); err != nil {
			return err
		}
		l.state.Hosts = append(l.state.Hosts, hs)
		l.hosts = append(l.hosts, h)
	}
	if err := l.writeSSHFiles(); err != nil {
		return fmt.Errorf("writing the SSH client's files: %w", err)
	}
	return l.save()
}

// writeSSHFiles writes known_hosts and ssh_config for all hosts.
func (l *Lab) writeSSHFiles() error {
	var known, config strings.Builder
	for _, h := range l.hosts {
		key, err := os.ReadFile(filepath.Join(h.Dir(), "host_key.pub"))
		if err != nil {
			return err
		}
		fields := strings.Fields(string(key))
		fmt.Fprintf(&known, "%s,%s %s %s\n", h.Name, h.Addr, fields[0], fields[1])
		config.WriteString(l.sshEntry(h.Name, h, ""))
		if jump := l.state.Bastion; jump != "" && jump != h.Name {
			config.WriteString(l.sshEntry(h.Name+".jump", h, jump))
		}
	}
	return errors.Join(
		writeWhole(l.KnownHosts, known.String(), 0o644),
		writeWhole(l.SSHConfig, config.String(), 0o644))
}

func (l *Lab) sshEntry(alias string, h *Host, jump string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Host %s %s\n", alias, h.Addr)
	if jump != "" {
		b.Reset()
		fmt.Fprintf(&b, "Host %s\n  ProxyJump %s\n", alias, jump)
	}
	for _, kv := range [][2]string{
		{"HostName", h.Addr}, {"User", User},
		{"IdentityFile", l.KeyFile}, {"IdentitiesOnly", "yes"},
		{"UserKnownHostsFile", l.KnownHosts}, {"StrictHostKeyChecking", "yes"},
	} {
		fmt.Fprintf(&b, "  %s %s\n", kv[0], kv[1])
	}
	return b.String() + "\n"
}

// writeWhole replaces a file in one step, for readers that may be at it.
func writeWhole(path, text string, mode fs.FileMode) error {
	if err := os.WriteFile(path+".new", []byte(text), mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
