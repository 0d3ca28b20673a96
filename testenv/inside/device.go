package inside

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mountDevices gives the host its own /proc, /sys and /dev. /sys is mounted
// by a process of the host's network namespace, and so shows its links only.
// Nothing is mounted over parts of /proc: the kernel lets a user namespace
// mount a proc of its own only where one is wholly visible already.
func mountDevices(c *Config) error {
	at := func(name string) string { return filepath.Join(root(c), name) }
	mounts := []struct {
		dir, fs string
		flags   uintptr
		data    string
	}{
		{"proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"dev", "tmpfs", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=755,size=4m"},
		{"dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,gid=5,mode=620,ptmxmode=666"},
		{"dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"dev/mqueue", "mqueue", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	}
	for _, m := range mounts {
		if err := os.MkdirAll(at(m.dir), 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.fs, at(m.dir), m.fs, m.flags, m.data); err != nil {
			return fmt.Errorf("%s: %w", m.dir, err)
		}
	}
	return makeNodes(at("dev"))
}

// nodes are the devices of a host (Documentation/admin-guide/devices.txt).
// kmsg is not one: the kernel's log is the machine's.
var nodes = []struct {
	name         string
	major, minor uint32
	mode         uint32
}{
	{"null", 1, 3, 0o666}, {"zero", 1, 5, 0o666}, {"full", 1, 7, 0o666},
	{"random", 1, 8, 0o666}, {"urandom", 1, 9, 0o666},
	{"tty", 5, 0, 0o666}, {"fuse", 10, 229, 0o666}, {"net/tun", 10, 200, 0o666},
}

func makeNodes(dev string) error {
	old := unix.Umask(0)
	defer unix.Umask(old)
	if err := os.Mkdir(filepath.Join(dev, "net"), 0o755); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := unix.Mknod(filepath.Join(dev, n.name), unix.S_IFCHR|n.mode, int(unix.Mkdev(n.major, n.minor))); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	links := map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd",
		"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return nil
}

// attachLoop binds an image file to a free loop device that detaches itself
// when its last user is gone (loop(4)).
func attachLoop(image string) (*os.File, error) {
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("finding a free loop device: %w", err)
		}
		dev, err := openLoop(n)
		if err != nil {
			return nil, err
		}
		conf := unix.LoopConfig{Fd: uint32(file.Fd()), Size: 512}
		conf.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		copy(conf.Info.File_name[:], image)
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &conf)
		if err == nil {
			return dev, nil
		}
		dev.Close()
		if !errors.Is(err, unix.EBUSY) { // busy: another host took it first
			return nil, fmt.Errorf("attaching %s: %w", image, err)
		}
	}
}

// openLoop opens loop device n, making its node where no udev does.
func openLoop(n int) (*os.File, error) {
	name := fmt.Sprintf("/dev/loop%d", n)
	dev, err := os.OpenFile(name, os.O_RDWR, 0)
	if !os.IsNotExist(err) {
		return dev, err
	}
	if err := unix.Mknod(name, unix.S_IFBLK|0o660, int(unix.Mkdev(7, uint32(n)))); err != nil && err != unix.EEXIST {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	return os.OpenFile(name, os.O_RDWR, 0)
}
