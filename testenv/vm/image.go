package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"dray/testenv"
	"dray/testenv/mirror"
)

const (
	suite         = "bookworm"
	kernelPackage = "linux-image-cloud-amd64"
	diskSize      = "3G" // sparse
)

// packages are what a small server has, beyond Debian's minimum.
var packages = []string{
	"apparmor", "dbus", "iproute2", "kmod", "libpam-systemd", "openssh-server", "sudo", "systemd", "systemd-sysv", "udev",
}

// needs are the programs that making and running a machine takes, with
// Debian's packages of them.
var needs = [][2]string{
	{"qemu-system-x86_64", "qemu-system-x86"}, {"debootstrap", "debootstrap"}, {"mkfs.ext4", "e2fsprogs"},
	{"dpkg", "dpkg"}, {"apt-get", "apt"}, {"ssh", "openssh-client"}, {"ssh-keygen", "openssh-client"},
	{busybox, "busybox-static"},
}

// Missing says why there can be no machine here; nil if there can.
func Missing() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("virtual machines are made on linux/amd64 alone, and this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if os.Geteuid() != 0 {
		return errors.New("debootstrap needs root")
	}
	var lacking []string
	for _, n := range needs {
		if _, err := exec.LookPath(n[0]); err != nil {
			lacking = append(lacking, n[1])
		}
	}
	if len(lacking) > 0 {
		return fmt.Errorf("this machine lacks some packages: apt-get install --no-install-recommends %s", strings.Join(slices.Compact(lacking), " "))
	}
	return nil
}

// image returns the folder with the root file system and the kernel, and makes
// it if there is none from the same recipe. Who comes meanwhile waits.
func image(ctx context.Context) (dir string, err error) {
	cache := filepath.Join(testenv.CacheDir(), "vm")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(cache, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("waiting for another who makes the image: %w", err)
	}
	dir = filepath.Join(cache, key())
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	making, err := os.MkdirTemp(cache, "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(making) // gone already when all went well
	if err := makeImage(ctx, making); err != nil {
		return "", fmt.Errorf("making the virtual machine's image: %w", err)
	}
	return dir, os.Rename(making, dir)
}

// key names the recipe: another one gives another image.
func key() string {
	sum := sha256.New()
	fmt.Fprint(sum, suite, kernelPackage, diskSize, packages, files, early, setup)
	return suite + "-" + hex.EncodeToString(sum.Sum(nil)[:6])
}

func makeImage(ctx context.Context, dir string) error {
	root := filepath.Join(dir, "root")
	include := "--include=" + strings.Join(packages, ",")
	// A mount namespace of its own, for debootstrap mounts /proc and /sys and
	// may be interrupted.
	err := run(ctx, "", "unshare", "--mount", "--pid", "--fork", "--kill-child",
		"debootstrap", "--variant=minbase", include, suite, root, mirror.DebianArchive())
	if err != nil {
		return err
	}
	if err := addKernel(ctx, dir, root); err != nil {
		return fmt.Errorf("adding the kernel: %w", err)
	}
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := run(ctx, "", "chroot", root, "/bin/sh", "-euc", setup); err != nil {
		return err
	}
	if err := run(ctx, dir, "mkfs.ext4", "-q", "-F", "-d", root, "root.ext4", diskSize); err != nil {
		return err
	}
	return os.RemoveAll(root)
}

var kernelVersion = regexp.MustCompile(`(?m)^ *Depends: (linux-image-(\S+))$`)

// addKernel unpacks the newest kernel that apt knows: its modules go into
// root, and what boots it into dir.
func addKernel(ctx context.Context, dir, root string) error {
	out, err := exec.CommandContext(ctx, "apt-cache", "depends", kernelPackage).Output()
	found := kernelVersion.FindSubmatch(out)
	if err != nil || found == nil {
		return fmt.Errorf("apt knows no %s, which Debian has: try apt-get update (%w)", kernelPackage, err)
	}
	name, version := string(found[1]), string(found[2])
	if err := run(ctx, dir, "apt-get", "download", "-q", name); err != nil {
		return err
	}
	packs, err := filepath.Glob(filepath.Join(dir, "linux-image-*.deb"))
	if err != nil || len(packs) != 1 {
		return fmt.Errorf("apt-get download gave %d packages (%w)", len(packs), err)
	}
	kernel := filepath.Join(dir, "kernel")
	if err := run(ctx, dir, "dpkg", "-x", packs[0], kernel); err != nil {
		return err
	}
	modules := filepath.Join(root, "usr/lib/modules")
	if err := os.MkdirAll(modules, 0o755); err != nil {
		return err
	}
	err = errors.Join(
		os.Rename(filepath.Join(kernel, "boot/vmlinuz-"+version), filepath.Join(dir, "vmlinuz")),
		os.Rename(filepath.Join(kernel, "lib/modules", version), filepath.Join(modules, version)),
		os.RemoveAll(kernel), os.Remove(packs[0]))
	if err != nil {
		return err
	}
	if err := run(ctx, "", "chroot", root, "depmod", version); err != nil {
		return err
	}
	return copyEarly(filepath.Join(modules, version), filepath.Join(dir, "early"))
}

// early are the modules without which the root file system can't be mounted.
var early = []string{"virtio_pci", "virtio_blk"}

// copyEarly copies the early modules and what they depend on, under names
// whose order is that of loading.
func copyEarly(from, to string) error {
	index, err := os.ReadFile(filepath.Join(from, "modules.dep"))
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	for i, path := range loadOrder(string(index), early) {
		module, err := os.ReadFile(filepath.Join(from, path))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, fmt.Sprintf("%02d-%s", i, filepath.Base(path))), module, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// loadOrder reads modules.dep(5), lines of "MODULE: WHAT IT NEEDS" where the
// last is to be loaded first, and returns the files to load for some names.
func loadOrder(index string, names []string) []string {
	var order []string
	for _, name := range names {
		for line := range strings.Lines(index) {
			module, needs, ok := strings.Cut(line, ":")
			if !ok || strings.TrimSuffix(filepath.Base(module), ".ko") != name {
				continue
			}
			all := strings.Fields(needs)
			slices.Reverse(all)
			for _, path := range append(all, module) {
				if !slices.Contains(order, path) {
					order = append(order, path)
				}
			}
		}
	}
	return order
}

// run runs a command in a folder; its error carries what it said last.
func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(string(bytes.TrimSpace(out)), "\n")
		return fmt.Errorf("running %s: %w: %s", name, err, strings.Join(lines[max(0, len(lines)-5):], "\n"))
	}
	return nil
}
