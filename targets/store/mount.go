package store

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

const containerPrefix = "container-"

// Mount prepares the root of a container over an image that is here, and gives
// what to mount. The same id gives the same root again, also after a reboot;
// asked for with another image it is refused.
//
// With readonly the root can't be written to at all, so mount points that the
// image lacks can't be made in it. A container whose root is to be read-only
// only from inside is better prepared writable.
func (s *Store) Mount(ctx context.Context, containerID string, d digest.Digest, readonly bool) ([]mount.Mount, error) {
	pin := s.pins.lease()
	defer pin.release()
	pin.add(d.String())
	img, err := s.index.image(d)
	if err != nil {
		return nil, err
	}
	pin.add(img.Digest.String())
	var stands digest.Digest
	known, err := s.index.get(bucketContainers, containerID, &stands)
	if err != nil {
		return nil, err
	}
	if known && stands != img.Digest {
		return nil, fmt.Errorf("container %s stands on image %s, not on %s: %w", containerID, stands, img.Digest, errdefs.ErrAlreadyExists)
	}
	if !known {
		if err := s.index.put(bucketContainers, containerID, img.Digest); err != nil {
			return nil, fmt.Errorf("recording container %s: %w", containerID, err)
		}
	}
	mounts, err := s.snap.Mounts(ctx, containerPrefix+containerID)
	if errdefs.IsNotFound(err) {
		prepare := s.snap.Prepare
		if readonly {
			prepare = s.snap.View
		}
		mounts, err = prepare(ctx, containerPrefix+containerID, img.ChainID.String())
	}
	if err != nil {
		return nil, fmt.Errorf("preparing the root of container %s: %w", containerID, s.asSpace(err))
	}
	return mounts, nil
}

// Mounts gives what to mount for a container that Mount has prepared.
func (s *Store) Mounts(ctx context.Context, containerID string) ([]mount.Mount, error) {
	mounts, err := s.snap.Mounts(ctx, containerPrefix+containerID)
	if err != nil {
		return nil, fmt.Errorf("finding the root of container %s: %w", containerID, err)
	}
	return mounts, nil
}

// Usage gives what a container has written: bytes and files.
func (s *Store) Usage(ctx context.Context, containerID string) (bytes, inodes int64, err error) {
	u, err := s.snap.Usage(ctx, containerPrefix+containerID)
	if err != nil {
		return 0, 0, fmt.Errorf("measuring container %s: %w", containerID, err)
	}
	return u.Size, u.Inodes, nil
}

// Remove deletes a container's root, which must not be mounted any more.
// Removing one that is not there is no error.
func (s *Store) Remove(ctx context.Context, containerID string) error {
	if err := s.removeSnapshot(ctx, containerPrefix+containerID); err != nil {
		return fmt.Errorf("removing the root of container %s: %w", containerID, err)
	}
	if err := s.index.remove(bucketContainers, containerID); err != nil {
		return fmt.Errorf("forgetting container %s: %w", containerID, err)
	}
	return nil
}
