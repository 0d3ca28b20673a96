package inside

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	configFD = 3
	faultFD  = 4
)

func init() {
	if len(os.Args) == 0 || os.Args[0] != Arg0 {
		return
	}
	err := become()
	// Reached only on failure: success has replaced this program.
	if _, werr := os.NewFile(faultFD, "fault").WriteString(err.Error()); werr != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(1)
}

// become turns this process into the host's init; it returns only an error.
func become() error {
	unix.CloseOnExec(faultFD)
	var c Config
	in := os.NewFile(configFD, "config")
	if err := json.NewDecoder(in).Decode(&c); err != nil {
		return fmt.Errorf("reading the host's configuration: %w", err)
	}
	if err := in.Close(); err != nil {
		return fmt.Errorf("closing the host's configuration: %w", err)
	}
	steps := []struct {
		name string
		do   func(*Config) error
	}{
		{"entering the cgroup namespace", enterCgroups},
		{"mounting the host's root", mountRoot},
		{"mounting devices", mountDevices},
		{"mounting cgroups", mountCgroups},
		{"changing root", pivot},
		{"setting the host name", func(c *Config) error { return unix.Sethostname([]byte(c.Name)) }},
		{"configuring the network", configureNetwork},
		{"writing the host's files", furnish},
		{"executing init", execInit},
	}
	for _, s := range steps {
		if err := s.do(&c); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return errors.New("init returned")
}

// enterCgroups makes the groups that the lab put this process into the roots
// of what the host sees. It runs on the main thread, as all of init does, and
// an exec keeps the namespaces of the thread that calls it.
//
// In a v2 group that gives controllers to its children no process may stay
// (cgroups(7), "no internal processes"), so init moves into a child.
func enterCgroups(c *Config) error {
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return err
	}
	if c.Init == InitSystemd {
		return nil // systemd does it by itself
	}
	for _, g := range c.Cgroups {
		if !g.V2 {
			continue
		}
		leaf := filepath.Join(g.Path, "init.scope")
		if err := os.MkdirAll(leaf, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return err
		}
		if err := Delegate(g.Path); err != nil {
			return err
		}
	}
	return nil
}

// execInit replaces this process. Descriptors above 2 close by themselves.
func execInit(c *Config) error {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "TERM=linux"}
	if c.Init == InitSystemd {
		return unix.Exec("/lib/systemd/systemd", []string{"systemd", "--system"}, append(env, "container=dray-lab"))
	}
	return unix.Exec(busybox, []string{"init"}, env)
}

// busybox is the init of plain hosts: it reaps, respawns sshd, and costs a
// few hundred kilobytes.
const busybox = "/bin/busybox"
