package ssh

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// mostQuestions is how often a passphrase is asked for, as in ssh_config(5),
// NumberOfPasswordPrompts.
const mostQuestions = 3

// keyring opens encrypted keys. The passphrase of a file is asked for once,
// for all hosts together, and never two questions stand at the same time.
type keyring struct {
	turn   chan struct{} // capacity 1: its holder may ask, and use opened
	opened map[string]openedKey
}

type openedKey struct {
	signer ssh.Signer
	err    error // why it stays closed
}

func newKeyring() *keyring {
	return &keyring{turn: make(chan struct{}, 1), opened: map[string]openedKey{}}
}

// question is about one key file.
type question struct {
	path string
	text []byte // of the file
	ask  func(ctx context.Context, keyFile string) ([]byte, error)
	note func(text string) // tells that an answer was wrong
}

// open returns the key, and asks for its passphrase the first time. When ctx
// ends first, the next one who wants the key asks.
func (k *keyring) open(ctx context.Context, q question) (ssh.Signer, error) {
	if q.ask == nil {
		return nil, fmt.Errorf("the host accepts key %s, which is encrypted: ssh-add %s", q.path, q.path)
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if known, ok := k.opened[q.path]; ok {
		return known.signer, known.err
	}
	signer, err := q.decrypt(ctx)
	if ctx.Err() != nil && err != nil {
		return nil, context.Cause(ctx)
	}
	k.opened[q.path] = openedKey{signer, err}
	return signer, err
}

// decrypt asks until the passphrase fits.
func (q question) decrypt(ctx context.Context) (ssh.Signer, error) {
	for n := 1; ; n++ {
		passphrase, err := q.ask(ctx, q.path)
		if err != nil {
			return nil, fmt.Errorf("asking for the passphrase of %s: %w", q.path, err)
		}
		signer, err := ssh.ParsePrivateKeyWithPassphrase(q.text, passphrase)
		if err == nil {
			return signer, nil
		}
		if !errors.Is(err, x509.IncorrectPasswordError) {
			return nil, fmt.Errorf("opening key %s: %w", q.path, err)
		}
		if n == mostQuestions {
			return nil, fmt.Errorf("opening key %s: its passphrase was wrong %d times", q.path, n)
		}
		q.note(fmt.Sprintf("that is not the passphrase of %s; once more (%d of %d)", q.path, n+1, mostQuestions))
	}
}
