package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"dray/pipeline/durable"
	"dray/targets/agent/journal"
)

// signingKey reads the host's ed25519 key (PKCS #8 in PEM, mode 0600), and
// makes it at first use.
func signingKey(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newSigningKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the host's key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("reading the host's key %s: it is not PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the host's key %s: %w", path, err)
	}
	signer, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("reading the host's key %s: it is a %T, not an ed25519 key", path, key)
	}
	return signer, nil
}

func newSigningKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the host's key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("making the host's key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return key, durable.Write(path, text, 0o600)
}

// hostID returns the host's random name, made at first use.
func (a *Agent) hostID() (id string, err error) {
	err = a.journal.View(func(t *journal.Tx) error {
		id, err = t.HostID()
		return err
	})
	if err != nil || id != "" {
		return id, err
	}
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("making the host's id: %w", err)
	}
	id = hex.EncodeToString(raw)
	return id, a.journal.Update("host.id", func(t *journal.Tx) error { return t.PutHostID(id) })
}
