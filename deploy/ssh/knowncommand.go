package ssh

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// runKnownCommand returns the known_hosts lines that KnownHostsCommand prints:
// before the handshake, to choose the kind of key (key is nil then), and once
// the host has shown a key. Source: ssh_config(5).
func (e *endpoint) runKnownCommand(ctx context.Context, key ssh.PublicKey) ([]knownKey, error) {
	values := maps.Clone(e.tokens.all())
	values['H'], values['I'], values['t'], values['f'], values['K'] = knownName(e), "ORDER", "NONE", "NONE", "NONE"
	if key != nil {
		values['I'], values['t'], values['f'] = "HOSTNAME", key.Type(), ssh.FingerprintSHA256(key)
		values['K'] = base64.StdEncoding.EncodeToString(key.Marshal())
	}
	words, err := splitArgs(e.knownCommand)
	if err != nil {
		return nil, fmt.Errorf("KnownHostsCommand: %w", err)
	}
	for i, word := range words {
		if words[i], err = expandTokens(word, values, true); err != nil {
			return nil, fmt.Errorf("KnownHostsCommand %w", err)
		}
	}
	if len(words) == 0 || !filepath.IsAbs(words[0]) {
		return nil, fmt.Errorf("KnownHostsCommand %s: write the command's whole path", e.knownCommand)
	}
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).Output() //nolint:gosec // the user's own configuration
	if err != nil {
		return nil, fmt.Errorf("running KnownHostsCommand %s: %w", e.knownCommand, err)
	}
	return parseKnownHosts(out, "KnownHostsCommand"), nil
}

// checkRevoked refuses a key that RevokedHostKeys has. A file that can't be
// read refuses every key, as in ssh_config(5).
func (v *hostKeyVerifier) checkRevoked(ctx context.Context, key ssh.PublicKey) error {
	path := v.endpoint.revoked
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return &HostKeyRevokedError{HostKey: v.hostKey(key), Where: "RevokedHostKeys: " + err.Error()}
	}
	keys := []ssh.PublicKey{key}
	if cert, ok := key.(*ssh.Certificate); ok {
		keys = append(keys, cert.Key, cert.SignatureKey)
	}
	for _, k := range keys {
		revoked := false
		if bytes.HasPrefix(text, []byte("SSHKRL\n\x00")) {
			if revoked, err = inRevocationList(ctx, path, k); err != nil {
				return &HostKeyRevokedError{HostKey: v.hostKey(key), Where: "RevokedHostKeys: " + err.Error()}
			}
		} else {
			revoked = listsKey(text, k)
		}
		if revoked {
			return &HostKeyRevokedError{HostKey: v.hostKey(key), Where: path}
		}
	}
	return nil
}

// listsKey tells whether a list of public keys, one a line, has a key.
func listsKey(text []byte, key ssh.PublicKey) bool {
	for line := range bytes.Lines(text) {
		if k, _, _, _, err := ssh.ParseAuthorizedKey(line); err == nil && bytes.Equal(k.Marshal(), key.Marshal()) {
			return true
		}
	}
	return false
}

// inRevocationList asks ssh-keygen about a binary revocation list: it fails
// for a key that is in it. Source: ssh-keygen(1), KEY REVOCATION LISTS.
func inRevocationList(ctx context.Context, path string, key ssh.PublicKey) (bool, error) {
	file, err := os.CreateTemp("", "dray-host-key-*.pub")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(file.Name()) }() // only a public key
	_, err = file.Write(ssh.MarshalAuthorizedKey(key))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return false, err
	}
	out, err := exec.CommandContext(ctx, "ssh-keygen", "-Q", "-f", path, file.Name()).CombinedOutput() //nolint:gosec // the user's own configuration
	if err != nil && bytes.Contains(out, []byte("REVOKED")) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking ssh-keygen about %s: %w: %s", path, err, bytes.TrimSpace(out))
	}
	return false, nil
}
