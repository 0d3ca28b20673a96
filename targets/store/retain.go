package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// Retain keeps images until Forget: a release's, say. It replaces what the key
// kept before. All images must be here.
func (s *Store) Retain(_ context.Context, key string, digests []digest.Digest) error {
	pin := s.pins.lease()
	defer pin.release()
	for _, d := range digests {
		pin.add(d.String())
		if _, err := s.index.image(d); err != nil {
			return fmt.Errorf("retaining for %s: %w", key, err)
		}
	}
	if err := s.index.put(bucketRetained, key, digests); err != nil {
		return fmt.Errorf("retaining for %s: %w", key, err)
	}
	return nil
}

// Forget ends a Retain. Forgetting what was not retained is no error.
func (s *Store) Forget(_ context.Context, key string) error {
	if err := s.index.remove(bucketRetained, key); err != nil {
		return fmt.Errorf("forgetting %s: %w", key, err)
	}
	return nil
}

// Retained lists what is retained, by key.
func (s *Store) Retained(context.Context) (map[string][]digest.Digest, error) {
	return all[[]digest.Digest](s.index, bucketRetained)
}

// Containers lists the ids of the containers that Mount has prepared.
func (s *Store) Containers(context.Context) ([]string, error) {
	digests, err := s.containerDigests()
	return slices.Sorted(maps.Keys(digests)), err
}

// containerDigests lists the images that containers stand on.
func (s *Store) containerDigests() (map[string]digest.Digest, error) {
	return all[digest.Digest](s.index, bucketContainers)
}

func ignoreMissing(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
