package testenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// diskImage is the path of the host's disk image; empty: its disk is a folder.
func (h *Host) diskImage() string {
	if h.lab.state.DiskSize == 0 {
		return ""
	}
	return filepath.Join(h.Dir(), "disk.img")
}

// makeDisk makes the host's disk image if it has one and it is not there yet.
// The file is sparse: it takes the space of what the host has written.
func (h *Host) makeDisk() error {
	image := h.diskImage()
	if image == "" {
		return nil
	}
	if _, err := os.Stat(image); err == nil {
		return nil
	}
	if err := os.WriteFile(image+".new", nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(image+".new", h.lab.state.DiskSize); err != nil {
		return err
	}
	// Nothing is kept for root: a full disk is full for the agent too.
	cmd := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", image+".new")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making a disk: %w: %s", err, out)
	}
	return os.Rename(image+".new", image)
}

// releaseDisk waits until the kernel has let go of the disk image, so that no
// second file system is mounted from it.
func (h *Host) releaseDisk(ctx context.Context) error {
	image := h.diskImage()
	if image == "" {
		return nil
	}
	return until(ctx, "the disk of "+h.Name+" is detached", func() (bool, error) {
		files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
		if err != nil {
			return false, err
		}
		for _, f := range files {
			if text, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(text)) == image {
				return false, nil
			}
		}
		return true, nil
	})
}

// filler is the file that fills a host's disk.
const filler = "var/lib/.lab-filler"

// FillDisk fills the host's disk until no more than leave bytes are free. The
// host must have a disk of its own: Options.DiskSize.
func (h *Host) FillDisk(leave int64) error {
	if h.diskImage() == "" {
		return errors.New("filling a disk: the lab's hosts have none of their own; give Options.DiskSize")
	}
	if !h.Running() {
		return fmt.Errorf("filling the disk of %s: the host is off", h.Name)
	}
	f, err := os.OpenFile(h.path(filler), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	for step := int64(1 << 30); step >= 4096; {
		free, err := freeBytes(f)
		if err != nil {
			return err
		}
		n := min(step, free-leave)
		if n < 4096 {
			return nil
		}
		switch err := unix.Fallocate(int(f.Fd()), 0, size, n); {
		case errors.Is(err, unix.ENOSPC):
			step = n / 2 // what is left is in pieces, or goes for the file's own extents
		case err != nil:
			return fmt.Errorf("filling the disk of %s: %w", h.Name, err)
		default:
			size += n
		}
	}
	return nil
}

// FreeDisk takes back what FillDisk has taken.
func (h *Host) FreeDisk() error {
	if err := os.Remove(h.path(filler)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// path reaches a file of a running host from the machine.
func (h *Host) path(name string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", h.PID()), name)
}

func freeBytes(f *os.File) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}
