package connect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"dray/pipeline/durable"
	"dray/targets/network"
	"dray/targets/runtime/cgroup"
)

// InstallOptions say which bundle becomes the current one.
type InstallOptions struct {
	Digest string // sha256:… of its manifest
	From   string // folder in /var/lib/dray/bin with the unpacked archive; "" when it was installed before
}

// Installation says what Install did.
type Installation struct {
	Service      string `json:"service"` // systemd, openrc, sysv or none
	StartsAtBoot bool   `json:"starts_at_boot"`
}

// Install verifies a bundle, makes it the current one, makes the agent a
// service, and (re)starts it. It returns when the agent answers. Containers
// are not touched. Installations at the same time wait for each other;
// repeating one does no harm.
func Install(ctx context.Context, o InstallOptions) (*Installation, error) {
	sum, ok := strings.CutPrefix(o.Digest, "sha256:")
	if !ok || len(sum) != 64 {
		return nil, fmt.Errorf("installing: %q is not a digest", o.Digest)
	}
	if err := makeDirs(); err != nil {
		return nil, err
	}
	unlock, err := lockInstall()
	if err != nil {
		return nil, err
	}
	defer unlock()
	dir := filepath.Join(binDir, sum[:16])
	if err := place(o, dir); err != nil {
		return nil, err
	}
	if err := switchCurrent(filepath.Base(dir)); err != nil {
		return nil, err
	}
	s := detectService()
	if err := s.install(ctx); err != nil {
		return nil, fmt.Errorf("making the agent a service of %s: %w", s.name, err)
	}
	if !runsFrom(dir) { // another client may just have installed the same
		if err := s.restart(ctx); err != nil {
			return nil, fmt.Errorf("starting the agent: %w", err)
		}
	}
	waiting, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	if err := waitForAgent(waiting); err != nil {
		return nil, err
	}
	removeOld(dir)
	return &Installation{Service: s.name, StartsAtBoot: StartsAtBoot()}, nil
}

func makeDirs() error {
	if err := os.MkdirAll(binDir, 0o755); err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	// Others may pass through, to see whether dray is there, but not look around.
	if err := os.Chmod(stateDir, 0o711); err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	return nil
}

func lockInstall() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(binDir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("installing: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("installing: waiting for another installation: %w", errors.Join(err, f.Close()))
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}

// place verifies the uploaded programs and renames their folder to dir. One
// that is there already is verified instead.
func place(o InstallOptions, dir string) error {
	from := o.From
	if _, err := os.Stat(dir); err == nil {
		from = dir
	}
	if from == "" {
		return fmt.Errorf("installing: bundle %s is not on this host", o.Digest)
	}
	m, digest, err := readManifest(from)
	if err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	if digest != o.Digest {
		return fmt.Errorf("installing: the bundle's digest is %s, not %s", digest, o.Digest)
	}
	if err := m.verify(from); err != nil {
		if from == dir {
			_ = os.RemoveAll(dir) // it can be uploaded anew then
		}
		return err
	}
	if from == dir {
		return nil
	}
	if err := os.Chmod(from, 0o755); err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	if err := durable.SyncFolder(from); err != nil {
		return err
	}
	if err := os.Rename(from, dir); err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	return durable.SyncFolder(binDir)
}

// switchCurrent lets the link name another bundle, at once.
func switchCurrent(name string) error {
	temp := filepath.Join(binDir, fmt.Sprintf(".current-%d", os.Getpid()))
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("installing: %w", err)
	}
	if err := os.Symlink(name, temp); err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	if err := os.Rename(temp, currentLink); err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	return durable.SyncFolder(binDir)
}

// runsFrom tells whether the agent that answers is the one in dir.
func runsFrom(dir string) bool {
	pid, err := agentPid()
	if err != nil || pid == 0 {
		return false
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && program == filepath.Join(dir, "drayd")
}

// removeOld removes bundles that neither run nor were installed within a week,
// and uploads that were cut off.
func removeOld(current string) {
	used := runningFrom()
	entries, err := os.ReadDir(binDir)
	if err != nil {
		return // only disk is lost
	}
	for _, e := range entries {
		path := filepath.Join(binDir, e.Name())
		info, err := e.Info()
		if err != nil || !e.IsDir() || path == current || used[path] {
			continue
		}
		age := time.Since(info.ModTime())
		if age > 7*24*time.Hour || age > time.Hour && strings.HasPrefix(e.Name(), ".new-") {
			_ = os.RemoveAll(path) // only disk is lost
		}
	}
}

// runningFrom returns the folders that running programs come from.
func runningFrom() map[string]bool {
	used := map[string]bool{}
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return used // only a bad pattern
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			used[filepath.Dir(strings.TrimSuffix(target, " (deleted)"))] = true
		}
	}
	return used
}

// UninstallOptions say how much goes.
type UninstallOptions struct {
	Purge bool // state, images and volumes too
	// Kernel takes away what dray has in the kernel; nil leaves it.
	Kernel func() error
}

// Uninstall stops the agent and removes the service, the programs, and what dray
// has in the kernel. While there are containers it refuses, for their shims run from
// the programs. State, images and volumes in /var/lib/dray stay unless Purge is set.
func Uninstall(ctx context.Context, o UninstallOptions) error {
	left, err := os.ReadDir(filepath.Join(runDir, "containers"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("uninstalling: %w", err)
	}
	if len(left) > 0 {
		return fmt.Errorf("containers are here still (%d): take their environments away first, with dray down ENV", len(left))
	}
	s := detectService()
	err = errors.Join(s.remove(ctx), StopAgent(ctx))
	if o.Kernel != nil {
		err = errors.Join(err, o.Kernel()) // what is mounted in the run folder would stay with it
	}
	err = errors.Join(err, os.RemoveAll(binDir), os.RemoveAll(runDir))
	if o.Purge && err == nil {
		err = os.RemoveAll(stateDir)
	}
	if err != nil {
		return fmt.Errorf("uninstalling: %w", err)
	}
	return nil
}

// clearKernel removes dray's table, rules, bridges, namespaces and control groups.
func clearKernel() error {
	return errors.Join(network.Uninstall(filepath.Join(runDir, "netns")), cgroup.Remove("/dray"))
}
