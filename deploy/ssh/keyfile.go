package ssh

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/crypto/ssh"
)

// fileKey is a key in a file. Without a signer only its public half is known.
type fileKey struct {
	path   string
	public ssh.PublicKey
	signer ssh.Signer
	err    error // why there is no signer
}

func (a *authentication) fileKeys(e *endpoint) []*fileKey {
	var keys []*fileKey
	for _, path := range e.identities {
		k, err := a.readKey(path)
		switch {
		case err == nil:
			keys = append(keys, k)
		case errors.Is(err, fs.ErrNotExist) && !e.explicit:
		default:
			a.skipped = append(a.skipped, err.Error())
		}
	}
	return keys
}

// readKey reads a private key, or only PATH.pub where the private half is in
// the agent.
func (a *authentication) readKey(path string) (*fileKey, error) {
	k := &fileKey{path: path}
	if text, err := os.ReadFile(path + ".pub"); err == nil {
		if public, _, _, _, err := ssh.ParseAuthorizedKey(text); err == nil {
			k.public = public
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		if k.public != nil {
			return k, nil
		}
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	var missing *ssh.PassphraseMissingError
	switch {
	case err == nil:
		k.public, k.signer = signer.PublicKey(), signer
	case errors.As(err, &missing):
		if missing.PublicKey != nil {
			k.public = missing.PublicKey
		}
		if k.public == nil {
			return nil, fmt.Errorf("%s is encrypted, in an old format, and has no %s.pub beside it: ssh-add %s", path, path, path)
		}
		k.signer = &lockedKey{path: path, text: text, public: k.public, auth: a}
	default:
		if public, _, _, _, publicErr := ssh.ParseAuthorizedKey(text); publicErr == nil {
			k.public = public // IdentityFile may name a public key whose other half the agent has
			return k, nil
		}
		k.err = fmt.Errorf("reading key %s: %w", path, err)
		if k.public == nil {
			return nil, k.err
		}
		// A key on a token (id_ed25519_sk) can only be used by the agent.
	}
	return k, nil
}

// lockedKey is an encrypted key. It is opened only when a server accepts it, so
// that a passphrase is asked for only where it helps.
type lockedKey struct {
	path   string
	text   []byte
	public ssh.PublicKey
	auth   *authentication
}

// PublicKey returns the half that is not encrypted.
func (k *lockedKey) PublicKey() ssh.PublicKey { return k.public }

// Sign opens the key and signs.
func (k *lockedKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm opens the key and signs with one of the algorithms of its
// type.
func (k *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	open, err := k.auth.unlock(k.path, k.text)
	if err != nil {
		k.auth.fault = err
		return nil, err
	}
	if s, ok := open.(ssh.AlgorithmSigner); ok {
		return s.SignWithAlgorithm(rand, data, algorithm)
	}
	return open.Sign(rand, data)
}
