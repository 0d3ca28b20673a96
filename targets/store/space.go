package store

import (
	"errors"
	"fmt"
	"math"
	"syscall"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"dray/pipeline/phrase"
	"dray/targets/store/unpack"
)

// ErrSpace is matched by a *SpaceError.
var ErrSpace = errors.New("not enough disk space")

// SpaceError says that the disk is too full for a pull. Figures are bytes.
type SpaceError struct {
	Path string // a folder on the file system that is full
	Need int64  // an estimate before the pull; 0 when it showed during the pull
	Free int64
	err  error
}

// Error says what is missing, in people's units.
func (e *SpaceError) Error() string {
	if errors.Is(e.err, unpack.ErrNoRoom) {
		return fmt.Sprintf("the image unpacks to more than the disk of %s has free (%s)", e.Path, phrase.Size(e.Free))
	}
	if e.Need == 0 {
		return fmt.Sprintf("the disk of %s is too small: %s are left", e.Path, phrase.Size(e.Free))
	}
	return fmt.Sprintf("the disk of %s has %s free; about %s are needed", e.Path, phrase.Size(e.Free), phrase.Size(e.Need))
}

// Is matches ErrSpace.
func (e *SpaceError) Is(target error) bool { return target == ErrSpace }

// Unwrap gives the kernel's error, if there was one.
func (e *SpaceError) Unwrap() error { return e.err }

// unpackFactor estimates unpacked bytes from compressed ones: common bases
// have 2.5 to 3.
const unpackFactor = 3

// reserve is left free for everything else on the disk.
const reserve = 64 << 20

// need estimates what a layer takes on the disk: as it travels, and unpacked. A
// size that can't be true is more than any disk has.
func need(l ocispec.Descriptor) int64 {
	if l.Size < 0 || l.Size > math.MaxInt64/(1+unpackFactor) {
		return math.MaxInt64
	}
	if l.MediaType == ocispec.MediaTypeImageLayer || l.MediaType == "application/vnd.docker.image.rootfs.diff.tar" {
		return 2 * l.Size
	}
	return (1 + unpackFactor) * l.Size
}

// sum adds sizes without passing the largest.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// free gives the bytes that are free on the store's disk.
func (s *Store) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, fmt.Errorf("asking for free space in %s: %w", s.dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// short says whether the disk is nearly full.
func (s *Store) short() (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return false, fmt.Errorf("asking for free space in %s: %w", s.dir, err)
	}
	return st.Bavail < st.Blocks/shortOf, nil
}

func (s *Store) checkSpace(need int64) error {
	free, err := s.free()
	if err != nil {
		return err
	}
	if need = sum(need, reserve); need > reserve && need > free {
		return &SpaceError{Path: s.dir, Need: need, Free: free}
	}
	return nil
}

// noRoom is the fault of a pull that unpacks to more than the disk has.
func (s *Store) noRoom(err error) error {
	free, statErr := s.free()
	return &SpaceError{Path: s.dir, Free: free, err: errors.Join(err, statErr)}
}

// asSpace makes a SpaceError of the kernel's ENOSPC or EDQUOT.
func (s *Store) asSpace(err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	var known *SpaceError
	if errors.As(err, &known) {
		return err
	}
	free, statErr := s.free()
	return &SpaceError{Path: s.dir, Free: free, err: errors.Join(err, statErr)}
}
