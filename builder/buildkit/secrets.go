package buildkit

import (
	"cmp"
	"context"
	"errors"
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

// secretStore answers steps that ask for a secret, and keeps the values that
// it gave out of what the steps print.
type secretStore struct {
	request builder.Request
	given   *secret.Redactor // knows the values that were given

	mu      sync.Mutex
	missing map[string]missing // by id
}

// secretStore answers for the secrets of one build.
func (c *Client) secretStore(req builder.Request) *secretStore {
	return &secretStore{request: req, given: cmp.Or(c.secrets, secret.NewRedactor())}
}

// missing is why a secret could not be given, and how it can be.
type missing struct{ why, next string }

var _ secrets.SecretStore = (*secretStore)(nil)

// GetSecret returns the value of one of the target's secrets.
func (s *secretStore) GetSecret(_ context.Context, id string) ([]byte, error) {
	i := slices.IndexFunc(s.request.Target.Secrets, func(b pipeline.BuildSecret) bool { return b.ID == id })
	if i < 0 {
		s.miss(id, missing{"is not declared", fmt.Sprintf("add { id = %q, env = \"…\" } to secret of that target", id)})
		return nil, fmt.Errorf("target %s has no secret %q: %w", s.request.Target.Name, id, secrets.ErrNotFound)
	}
	b := s.request.Target.Secrets[i]
	value, err := s.lookup(b)
	if err != nil {
		next := "set " + variable(b) + `, or name a file with src = "…"`
		if b.Src != "" {
			next = "write " + b.Src + ", or name another file"
		}
		s.miss(id, missing{"has no value: " + strings.TrimSuffix(err.Error(), ": "+secrets.ErrNotFound.Error()), next + " in secret of that target"})
		return nil, fmt.Errorf("secret %q: %w", id, err)
	}
	s.given.Add(value)
	return []byte(value.Reveal()), nil
}

func (s *secretStore) miss(id string, m missing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing == nil {
		s.missing = map[string]missing{}
	}
	s.missing[id] = m
}

// blame says of a build that failed for want of a secret which one that is, and
// how to give it. BuildKit says only that something was not found.
func (s *secretStore) blame(err error) error {
	var f *builder.Failure
	if !errors.As(err, &f) || f.ExitCode != 0 {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, m := range s.missing {
		if !strings.HasPrefix(f.Reason, "secret "+id+":") && !strings.HasPrefix(f.Reason, fmt.Sprintf("secret %q:", id)) {
			continue
		}
		target := fmt.Sprintf("target %q", f.Target)
		if at := s.request.Target.At.String(); at != "" {
			target += ", " + at
		}
		f.Reason, f.Next = fmt.Sprintf("secret %q (%s) %s", id, target, m.why), m.next
	}
	return err
}

// variable is the one that holds a secret's value, unless a file does.
func variable(b pipeline.BuildSecret) string {
	if b.Env != "" {
		return b.Env
	}
	return b.ID
}

// lookup reads the secret's file, or its variable.
func (s *secretStore) lookup(b pipeline.BuildSecret) (secret.Value, error) {
	if b.Src != "" {
		path := b.Src
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.request.Dir, path)
		}
		data, err := os.ReadFile(path)
		return secret.NewValue(string(data)), err
	}
	name := variable(b)
	value, ok := os.LookupEnv(name)
	if !ok {
		return secret.Value{}, fmt.Errorf("variable %s is not set: %w", name, secrets.ErrNotFound)
	}
	return secret.NewValue(value), nil
}
