package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// upperdirLabel is what the overlay snapshotter says of where files are.
const upperdirLabel = "containerd.io/snapshot/overlay.upperdir"

// inheritAll gives a layer's implicit folders (it has etc/x, but no entry for
// etc) the owner, mode and attributes that they have in the nearest
// layer below. Overlay shows the uppermost layer's, and layers are unpacked
// beside each other, so they were made with defaults.
func (s *Store) inheritAll(ctx context.Context, img *Image, done []unpacked) error {
	var below []string // folders of the layers below, lowest first
	for i, l := range img.Layers {
		u := done[i]
		if u.key == "" {
			info, err := s.snap.Stat(ctx, l.ChainID.String())
			if err != nil {
				return fmt.Errorf("finding layer %s: %w", l.Digest, err)
			}
			below = append(below, info.Labels[upperdirLabel])
			continue
		}
		if err := inherit(u, below); err != nil {
			return fmt.Errorf("completing the folders of layer %s: %w", l.Digest, err)
		}
		below = append(below, u.dir)
	}
	return nil
}

func inherit(u unpacked, below []string) error {
	if len(u.implicit) == 0 || len(below) == 0 {
		return nil
	}
	root, err := os.OpenRoot(u.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := u.implicit
	for _, dir := range slices.Backward(below) {
		if left, err = inheritFrom(root, dir, left); err != nil {
			return err
		}
	}
	return nil
}

// inheritFrom copies from one lower layer and gives the folders for which a
// still lower one has to be asked.
func inheritFrom(upper *os.Root, lowerDir string, dirs []string) (left []string, err error) {
	lower, err := os.OpenRoot(lowerDir)
	if err != nil {
		return nil, err
	}
	defer lower.Close()
	for _, dir := range dirs {
		fi, err := lower.Lstat(dir)
		switch {
		case err == nil && fi.IsDir():
			if err := copyFolder(upper, lower, dir); err != nil {
				return nil, fmt.Errorf("%s: %w", dir, err)
			}
		case errors.Is(err, fs.ErrNotExist) && !opaque(lowerDir, dir):
			left = append(left, dir)
		}
		// Anything else (a whiteout, a file, a link) hides what is below it.
	}
	return left, nil
}

// opaqueAttribute marks a folder that hides the layers below.
const opaqueAttribute = "trusted.overlay.opaque"

// markOpaque marks folders of a layer. One that is none, or no more, hides
// nothing: what the layer put in its place does.
func markOpaque(dir string, folders []string) error {
	if len(folders) == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range folders {
		f, err := openFolder(root, name)
		if f == nil && err == nil {
			continue
		}
		if err == nil {
			err = errors.Join(unix.Fsetxattr(int(f.Fd()), opaqueAttribute, []byte{'y'}, 0), f.Close())
		}
		if err != nil {
			return fmt.Errorf("marking %s as opaque: %w", name, err)
		}
	}
	return nil
}

// openFolder opens a folder below root; nil if its name leads to none.
func openFolder(root *os.Root, dir string) (*os.File, error) {
	f, err := root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return nil, nil
	}
	return f, err
}

// opaque says whether a folder above dir hides the layers below.
func opaque(root, dir string) bool {
	var v [1]byte
	for dir = path.Dir(dir); dir != "."; dir = path.Dir(dir) {
		if n, err := unix.Lgetxattr(filepath.Join(root, dir), opaqueAttribute, v[:]); err == nil && n == 1 && v[0] == 'y' {
			return true
		}
	}
	return false
}

// copyFolder works on descriptors, below the roots: both layers are foreign.
func copyFolder(upper, lower *os.Root, dir string) error {
	from, err := lower.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := openFolder(upper, dir)
	if to == nil {
		return err // without one, its name led elsewhere, through a link of the same layer
	}
	defer to.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return err
	}
	if err := unix.Fchown(int(to.Fd()), int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := copyXattrs(int(to.Fd()), int(from.Fd())); err != nil {
		return err
	}
	if err := unix.Fchmod(int(to.Fd()), st.Mode&0o7777); err != nil {
		return err
	}
	times := []unix.Timeval{unix.NsecToTimeval(st.Atim.Nano()), unix.NsecToTimeval(st.Mtim.Nano())}
	return unix.Futimes(int(to.Fd()), times)
}

// copyXattrs leaves out trusted ones, which are overlay's own.
func copyXattrs(to, from int) error {
	names := make([]byte, 64<<10)
	n, err := unix.Flistxattr(from, names)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return err
	}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(string(names[:n]), "\x00") {
		if name == "" || strings.HasPrefix(name, "trusted.") {
			continue
		}
		n, err := unix.Fgetxattr(from, name, value)
		if err != nil {
			return err
		}
		if err := unix.Fsetxattr(to, name, value[:n], 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
	}
	return nil
}
