package buildkit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/moby/buildkit/session/secrets"

	"dray/builder"
	"dray/pipeline"
	"dray/pipeline/secret"
)

// shortest is the length from which a secret's value is kept out of output: a
// shorter one would redact half the text and hide nothing.
const shortest = 4

// secretStore answers steps that ask for a secret, and keeps the values that
// it gave out of what the steps print.
type secretStore struct {
	request builder.Request

	mu    sync.Mutex
	given []string
}

var _ secrets.SecretStore = (*secretStore)(nil)

// GetSecret returns the value of one of the target's secrets.
func (s *secretStore) GetSecret(ctx context.Context, id string) ([]byte, error) {
	i := slices.IndexFunc(s.request.Target.Secrets, func(b pipeline.BuildSecret) bool { return b.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("target %s has no secret %q: %w", s.request.Target.Name, id, secrets.ErrNotFound)
	}
	lookup := s.request.Secret
	if lookup == nil {
		lookup = s.lookup
	}
	value, err := lookup(ctx, s.request.Target.Secrets[i])
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", id, err)
	}
	s.remember(value.Reveal())
	return []byte(value.Reveal()), nil
}

// lookup reads the secret's file, or its variable.
func (s *secretStore) lookup(_ context.Context, b pipeline.BuildSecret) (secret.Value, error) {
	if b.Src != "" {
		path := b.Src
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.request.Dir, path)
		}
		data, err := os.ReadFile(path)
		return secret.NewValue(string(data)), err
	}
	name := b.Env
	if name == "" {
		name = b.ID
	}
	value, ok := os.LookupEnv(name)
	if !ok {
		return secret.Value{}, fmt.Errorf("variable %s is not set: %w", name, secrets.ErrNotFound)
	}
	return secret.NewValue(value), nil
}

func (s *secretStore) remember(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); len(line) >= shortest && !slices.Contains(s.given, line) {
			s.given = append(s.given, line)
		}
	}
}

// redact replaces every line of every given secret in text.
func (s *secretStore) redact(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.given {
		text = strings.ReplaceAll(text, v, "[secret]")
	}
	return text
}
