// Package volume keeps data that outlives containers: named folders on the
// host, one set for each environment.
//
//	ROOT/NETWORK/NAME    the data, bind-mounted into containers
//	ROOT/NETWORK/.NAME…  a copy or a removal under way; swept by Open
//
// NETWORK is the name that is the environment's alone, "shop-prod" or
// "my-shop~prod".
//
// A volume is made empty by Ensure. The first container that uses it may fill
// it with what its image has at that path (Populate), as Docker does; the copy
// appears in the volume all at once, or not at all.
//
// Not here: which container mounts what (targets/agent), mounting it
// (targets/runtime).
package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	confs "github.com/containerd/continuity/fs"
	securejoin "github.com/cyphar/filepath-securejoin"
	"golang.org/x/sys/unix"

	"dray/pipeline/durable"
)

// Faults that callers branch on; test with errors.Is.
var (
	ErrName     = errors.New("not a name for a volume")
	ErrInUse    = errors.New("the volume is in use")
	ErrNotFound = errors.New("no such volume")
)

// Store is the volumes of a host.
type Store struct {
	root  string
	users func(path string) []string
}

// Volume is one volume.
type Volume struct {
	Network string // of the environment that it belongs to
	Name    string
	Path    string
	Created time.Time // of the folder, by its last change where the file system keeps no birth
}

// rootMode lets nobody but root pass to the data: what containers write there
// may be a program that runs as root for whoever starts it, or a device.
const rootMode = 0o700

// Open returns the volumes below root, and clears away what a crash left.
// users names the containers that have a path mounted; nil is nobody ever.
func Open(root string, users func(path string) []string) (*Store, error) {
	err := os.MkdirAll(root, rootMode)
	if err == nil {
		err = os.Chmod(root, rootMode) // one that an older agent made let others pass
	}
	if err != nil {
		return nil, fmt.Errorf("opening volumes: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(root, "*", ".*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return nil, fmt.Errorf("opening volumes: %w", err)
	}
	if users == nil {
		users = func(string) []string { return nil }
	}
	return &Store{root, users}, nil
}

var (
	validName    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)
	validNetwork = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.~-]{0,127}$`)
)

func (s *Store) path(network, name string) (string, error) {
	if !validNetwork.MatchString(network) {
		return "", fmt.Errorf("%q: %w of a network", network, ErrName)
	}
	if !validName.MatchString(name) {
		return "", fmt.Errorf("%q: %w: letters, digits, '_', '.' and '-', the first a letter or a digit, 128 at most", name, ErrName)
	}
	return filepath.Join(s.root, network, name), nil
}

// Ensure has a volume exist, and returns its path.
func (s *Store) Ensure(_ context.Context, network, name string) (string, error) {
	path, err := s.path(network, name)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return "", fmt.Errorf("making volume %s of %s: %w", name, network, err)
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("making volume %s of %s: %w", name, network, err)
	}
	return path, nil
}

// Populate fills a volume that is empty with what the image has at the path in
// the container, owners, modes and extended attributes included. One that
// holds anything is left as it is, and so is one whose path the image does not
// have. rootfs is the image's root on the host; its links are followed inside
// it only.
func (s *Store) Populate(_ context.Context, network, name, rootfs, destination string) error {
	fail := func(err error) error {
		return fmt.Errorf("filling volume %s of %s from its image: %w", name, network, err)
	}
	path, err := s.path(network, name)
	if err != nil {
		return err
	}
	empty, err := isEmpty(path)
	if err != nil || !empty {
		return ifAny(err, fail)
	}
	from, err := securejoin.SecureJoin(rootfs, destination)
	if err != nil {
		return fail(err)
	}
	if info, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	fresh, err := os.MkdirTemp(filepath.Dir(path), "."+name+"-new-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(fresh) // gone once it is renamed
	if err := confs.CopyDir(fresh, from); err != nil {
		return fail(err)
	}
	if err := syncTree(fresh); err != nil {
		return fail(err)
	}
	// Onto an empty folder rename(2) puts a full one in a single step; os.Rename
	// refuses to.
	if err := unix.Rename(fresh, path); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrExist) {
		return fail(err) // not empty: another container was quicker
	}
	return ifAny(durable.SyncFolder(filepath.Dir(path)), fail)
}

func ifAny(err error, wrap func(error) error) error {
	if err == nil {
		return nil
	}
	return wrap(err)
}

func isEmpty(path string) (bool, error) {
	entries, err := os.ReadDir(path)
	return len(entries) == 0, err
}

// syncTree makes the file system that holds path durable as it is.
func syncTree(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}

// All returns every volume, sorted by network and name.
func (s *Store) All() ([]Volume, error) {
	found, err := filepath.Glob(filepath.Join(s.root, "*", "*"))
	if err != nil {
		return nil, err
	}
	var all []Volume
	for _, path := range found {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || strings.HasPrefix(info.Name(), ".") {
			continue // it has just gone, or is none
		}
		all = append(all, Volume{filepath.Base(filepath.Dir(path)), info.Name(), path, birth(path, info)})
	}
	slices.SortFunc(all, func(a, b Volume) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

func birth(path string, info fs.FileInfo) time.Time {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return info.ModTime()
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
}

// List names the volumes of one environment.
func (s *Store) List(network string) ([]string, error) {
	all, err := s.All()
	var names []string
	for _, v := range all {
		if v.Network == network {
			names = append(names, v.Name)
		}
	}
	return names, err
}

// Usage returns the bytes that a volume takes on the disk.
func (s *Store) Usage(ctx context.Context, network, name string) (int64, error) {
	path, err := s.path(network, name)
	if err != nil {
		return 0, err
	}
	usage, err := confs.DiskUsage(ctx, path)
	if err != nil {
		return 0, fmt.Errorf("measuring volume %s of %s: %w", name, network, err)
	}
	return usage.Size, nil
}

// Remove deletes a volume with its data. One that a container has mounted is
// refused with ErrInUse; one that does not exist is no error.
func (s *Store) Remove(_ context.Context, network, name string) error {
	fail := func(err error) error { return fmt.Errorf("removing volume %s of %s: %w", name, network, err) }
	path, err := s.path(network, name)
	if err != nil {
		return err
	}
	if users := s.users(path); len(users) > 0 {
		return fail(fmt.Errorf("%w by %s", ErrInUse, strings.Join(users, ", ")))
	}
	going, err := os.MkdirTemp(filepath.Dir(path), "."+name+"-old-")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fail(err)
	}
	// Once it has another name it is gone, whatever happens to the rest.
	if err := unix.Rename(path, going); err != nil {
		_ = os.Remove(going) // empty; Open would take it too
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fail(err)
	}
	err = errors.Join(durable.SyncFolder(filepath.Dir(path)), os.RemoveAll(going))
	_ = os.Remove(filepath.Dir(path)) // fails unless this was the environment's last
	return ifAny(err, fail)
}
