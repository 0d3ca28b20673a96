package ssh

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// HostKey is a key that a host showed.
type HostKey struct {
	Host    string // its name for people
	Address string // host:port
	Key     ssh.PublicKey
	login   string // of a jump host, which has no name in the file
}

// accept is the command that has the key trusted from then on.
func (h HostKey) accept(flags ...string) string {
	if h.login != "" {
		return "ssh " + h.login + ", which asks for it and keeps it in ~/.ssh/known_hosts"
	}
	return strings.Join(slices.Concat([]string{"dray host trust"}, flags, []string{h.Host}), " ")
}

// Fingerprint returns "SHA256:…".
func (h HostKey) Fingerprint() string { return ssh.FingerprintSHA256(h.Key) }

// Type returns the kind of key as people write it: ED25519, ECDSA, RSA.
func (h HostKey) Type() string { return typeName(h.Key) }

// Text returns the key as known_hosts and dray.lock.hcl have it: "TYPE BASE64".
func (h HostKey) Text() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(h.Key)))
}

// ParseHostKey reads a key as Text wrote it.
func ParseHostKey(text string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("reading the host key %q: %w", text, err)
	}
	return key, nil
}

func typeName(key ssh.PublicKey) string {
	name := strings.TrimPrefix(strings.TrimPrefix(key.Type(), "sk-"), "ssh-")
	name, _, _ = strings.Cut(name, "-")
	name, _, _ = strings.Cut(name, "@")
	return strings.ToUpper(name)
}
