package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// The host's root is an overlay: the machine's root file system below, the
// host's disk above. /var/lib is the disk itself, so that a host can mount
// overlays of its own there (the kernel refuses an overlay as an upper layer).

func root(c *Config) string { return filepath.Join(c.Dir, "root") }

// shown are the folders of the machine's root that a host sees; all others
// are empty in it.
var shown = []string{"bin", "etc", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "usr", "var"}

// hidden are folders below the shown ones that are empty in a new host.
var hidden = []string{
	"etc/rc0.d", "etc/rc1.d", "etc/rc2.d", "etc/rc3.d", "etc/rc4.d", "etc/rc5.d", "etc/rc6.d", "etc/rcS.d",
	"etc/systemd/system", "etc/ssh",
	"var/cache", "var/log", "var/spool", "var/tmp", "var/backups",
}

func mountRoot(c *Config) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	disk, err := mountDisk(c)
	if err != nil {
		return fmt.Errorf("the disk: %w", err)
	}
	upper, work, lib := filepath.Join(disk, "upper"), filepath.Join(disk, "work"), filepath.Join(disk, "lib")
	for _, dir := range []string{upper, work, lib, root(c)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := copyLayer(c, upper); err != nil {
		return fmt.Errorf("copying %s onto the disk: %w", c.Layer, err)
	}
	if err := hide(upper); err != nil {
		return fmt.Errorf("hiding the machine's folders: %w", err)
	}
	opts := fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", upper, work)
	if err := unix.Mount("overlay", root(c), "overlay", 0, opts); err != nil {
		return fmt.Errorf("an overlay with its upper layer in %s (which no overlay may hold: use a folder on another file system, or a disk size): %w", disk, err)
	}
	if err := bind(lib, filepath.Join(root(c), "var/lib")); err != nil {
		return err
	}
	return unix.Mount("tmpfs", filepath.Join(root(c), "run"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
}

// copyLayer copies the host's layer onto a new disk. It is not a lower layer of
// the overlay: the kernel refuses one that lies within another, as every folder
// here does within the machine's root.
func copyLayer(c *Config, upper string) error {
	if _, err := os.Stat(filepath.Join(upper, furnished)); c.Layer == "" || err == nil {
		return nil
	}
	out, err := exec.Command("/bin/cp", "-a", c.Layer+"/.", upper).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// mountDisk gives the folder that holds the host's disk.
func mountDisk(c *Config) (string, error) {
	disk := filepath.Join(c.Dir, "disk")
	if err := os.MkdirAll(disk, 0o755); err != nil {
		return "", err
	}
	if c.DiskImage == "" {
		return disk, nil
	}
	dev, err := attachLoop(c.DiskImage)
	if err != nil {
		return "", err
	}
	defer dev.Close()
	return disk, unix.Mount(dev.Name(), disk, "ext4", unix.MS_NOATIME, "discard")
}

// hide makes what a new host must not see opaque in the overlay's upper
// layer. At later boots the folders are there and are left alone.
func hide(upper string) error {
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(shown, e.Name()) {
			if err := opaque(upper, e.Name()); err != nil {
				return err
			}
		}
	}
	for _, name := range hidden {
		if err := opaque(upper, name); err != nil {
			return err
		}
	}
	return nil
}

// opaque makes an empty folder in the upper layer that hides the lower one of
// that name, with the same mode. Parents keep the mode of the lower ones.
func opaque(upper, name string) error {
	if parent := filepath.Dir(name); parent != "." {
		if err := likeLower(upper, parent); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := likeLower(upper, name); errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return unix.Setxattr(filepath.Join(upper, name), "trusted.overlay.opaque", []byte("y"), 0)
}

func likeLower(upper, name string) error {
	info, err := os.Stat(filepath.Join("/", name))
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(upper, name), 0o755); err != nil {
		return err
	}
	return os.Chmod(filepath.Join(upper, name), info.Mode())
}

// pivot makes the prepared root the only one.
func pivot(c *Config) error {
	if err := os.Chdir(root(c)); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Chdir("/")
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s at %s: %w", from, to, err)
	}
	return nil
}
