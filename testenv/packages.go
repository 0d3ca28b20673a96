package testenv

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
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Packages of Debian's for hosts alone. They are installed once, by apt, into
// an overlay over the machine's root; what that has written is kept, and
// copied onto the disks of hosts that ask for it. So the machine has none of
// them, nothing of them is started by installing, and no host's init finds
// them enabled.

// kept are the folders of what an installation has written that hosts get.
var kept = []string{"etc", "opt", "usr"}

// Packages gives a folder with what these packages, and what they depend on,
// add to the machine's root. It is made by apt if there is none of the same
// versions; who comes meanwhile waits.
func Packages(ctx context.Context, names ...string) (dir string, err error) {
	names = slices.Sorted(slices.Values(names))
	plan, err := planInstall(ctx, names)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(plan + install))
	cache := filepath.Join(CacheDir(), "packages")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(cache, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // unlocks
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("waiting for another who installs packages: %w", err)
	}
	dir = filepath.Join(cache, strings.Join(names, "+")+"-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	making, err := os.MkdirTemp(cache, "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(making)
	if err := installInto(ctx, making, names); err != nil {
		return "", fmt.Errorf("installing %s for hosts: %w", strings.Join(names, ", "), err)
	}
	return dir, os.Rename(filepath.Join(making, "layer"), dir)
}

// planInstall lists the packages with versions that apt would install; nothing
// if all are on the machine.
func planInstall(ctx context.Context, names []string) (string, error) {
	simulate := append([]string{"--simulate", "--no-install-recommends", "install"}, names...)
	out, err := runApt(ctx, simulate...)
	if err != nil { // most often a machine that has no lists yet
		if _, err := runApt(ctx, "update", "-qq"); err != nil {
			return "", err
		}
		if out, err = runApt(ctx, simulate...); err != nil {
			return "", err
		}
	}
	var plan strings.Builder
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "Inst ") {
			plan.WriteString(line)
		}
	}
	return plan.String(), nil
}

func runApt(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running apt-get %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}

// install runs in a mount namespace of its own, in a folder with empty folders
// root, written and work. policy-rc.d keeps services of packages from being
// started (invoke-rc.d(8)).
const install = `
mount -t overlay overlay -o lowerdir=/,upperdir=written,workdir=work root
mount -t proc proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs tmpfs root/run
printf '#!/bin/sh\nexit 101\n' >root/usr/sbin/policy-rc.d
chmod 755 root/usr/sbin/policy-rc.d
DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot root apt-get install --yes --no-install-recommends "$@"
rm root/usr/sbin/policy-rc.d
`

// installInto leaves what an installation writes in dir's folder layer.
func installInto(ctx context.Context, dir string, names []string) error {
	for _, folder := range []string{"root", "written", "work", "layer"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			return err
		}
	}
	args := append([]string{"--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", install, "sh"}, names...)
	cmd := exec.CommandContext(ctx, "unshare", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%w: %s", err, strings.Join(lines[max(0, len(lines)-5):], "\n"))
	}
	for _, folder := range kept {
		err := os.Rename(filepath.Join(dir, "written", folder), filepath.Join(dir, "layer", folder))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	// What is enabled there, the host's init would start.
	for _, folder := range []string{"etc/systemd/system", "etc/rc0.d", "etc/rc1.d", "etc/rc2.d", "etc/rc3.d", "etc/rc4.d", "etc/rc5.d", "etc/rc6.d", "etc/rcS.d"} {
		if err := os.RemoveAll(filepath.Join(dir, "layer", folder)); err != nil {
			return err
		}
	}
	return nil
}
