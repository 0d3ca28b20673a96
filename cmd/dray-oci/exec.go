//go:build linux && cgo

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/utils"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var execFlags = []flag{
	{name: "process", short: "p", value: true}, {name: "pid-file", value: true},
	{name: "console-socket", value: true}, {name: "pidfd-socket", value: true},
	{name: "detach", short: "d"}, {name: "tty", short: "t"}, {name: "cwd", value: true},
	{name: "env", short: "e", value: true}, {name: "user", short: "u", value: true},
	{name: "additional-gids", short: "g", value: true}, {name: "cap", short: "c", value: true},
	{name: "cgroup", value: true}, {name: "process-label", value: true}, {name: "apparmor", value: true},
	{name: "no-new-privs"}, {name: "preserve-fds", value: true}, {name: "ignore-paused"},
}

// execute runs a further process in a container. An error of its own gives
// 255, as runc's.
func execute(c call) (int, error) {
	go warmCgroups() // it ends long before we do, or with us
	l := launch{detach: c.has("detach")}
	if err := l.readFlags(c); err != nil {
		return 255, err
	}
	var err error
	if l.container, err = libcontainer.Load(c.root(), c.args[0]); err != nil {
		return 255, fmt.Errorf("exec failed: %w", err)
	}
	status, err := l.container.Status()
	switch {
	case err != nil:
		return 255, fmt.Errorf("exec failed: %w", err)
	case status == libcontainer.Stopped:
		return 255, errors.New("exec failed: cannot exec in a stopped container")
	case status == libcontainer.Paused && !c.has("ignore-paused"):
		return 255, errors.New("exec failed: cannot exec in a paused container (use --ignore-paused to override)")
	}
	if l.spec, err = execProcess(c, l.container); err != nil {
		return 255, fmt.Errorf("exec failed: %w", err)
	}
	if l.groups, err = subgroups(c.all("cgroup")); err != nil {
		return 255, fmt.Errorf("exec failed: %w", err)
	}
	code, err := l.do()
	if err != nil {
		return 255, fmt.Errorf("exec failed: %w", err)
	}
	return code, nil
}

// execProcess is the process of exec: the file of --process, or the one of
// the container's own configuration with what the flags say.
func execProcess(c call, container *libcontainer.Container) (*specs.Process, error) {
	if path := c.text("process"); path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var p specs.Process
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, fmt.Errorf("reading the process: %w", err)
		}
		dropUngrantable(&p)
		return &p, checkProcess(&p)
	}
	if len(c.args) < 2 {
		return nil, errors.New("exec args cannot be empty")
	}
	spec, err := ownSpec(container)
	if err != nil {
		return nil, err
	}
	p := spec.Process
	p.Args = c.args[1:]
	p.Env = append(p.Env, c.all("env")...)
	p.Terminal = c.has("tty")
	if cwd := c.text("cwd"); cwd != "" {
		p.Cwd = cwd
	}
	if label := c.text("process-label"); label != "" {
		p.SelinuxLabel = label
	}
	if profile := c.text("apparmor"); profile != "" {
		p.ApparmorProfile = profile
	}
	if c.text("no-new-privs") != "" {
		p.NoNewPrivileges = c.has("no-new-privs")
	}
	addCapabilities(p, c.all("cap"))
	dropUngrantable(p)
	if err := setUser(&p.User, c); err != nil {
		return nil, err
	}
	return p, checkProcess(p)
}

// ownSpec reads the configuration of a container's bundle, and leaves the
// current folder there.
func ownSpec(container *libcontainer.Container) (*specs.Spec, error) {
	bundle, ok := utils.SearchLabels(container.Config().Labels, "bundle")
	if !ok {
		return nil, errors.New("bundle not found in labels")
	}
	if err := os.Chdir(bundle); err != nil {
		return nil, err
	}
	return readSpec()
}

// subgroups reads the values of --cgroup: one PATH for version 2, or
// CONTROLLER[,CONTROLLER…]:PATH for version 1, where each controller is named
// at most once.
func subgroups(values []string) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	groups := map[string]string{}
	for _, value := range values {
		controllers, path, named := strings.Cut(value, ":")
		if !named {
			if len(values) > 1 {
				return nil, fmt.Errorf("invalid --cgroup argument: %s (missing <controller>: prefix)", value)
			}
			return map[string]string{"": value}, nil
		}
		for controller := range strings.SplitSeq(controllers, ",") {
			if controller == "" {
				return nil, fmt.Errorf("invalid --cgroup argument: %s (empty <controller> prefix)", value)
			}
			if _, twice := groups[controller]; twice {
				return nil, fmt.Errorf("invalid --cgroup argument(s): controller %s specified multiple times", controller)
			}
			groups[controller] = path
		}
	}
	return groups, nil
}

// addCapabilities gives p the capabilities of names. They are ambient, too,
// where p has inheritable ones: an ambient capability has to be inheritable
// (capabilities(7)), and that set is the container's to choose.
func addCapabilities(p *specs.Process, names []string) {
	if len(names) == 0 {
		return
	}
	if p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	c := p.Capabilities
	c.Bounding = append(c.Bounding, names...)
	c.Effective = append(c.Effective, names...)
	c.Permitted = append(c.Permitted, names...)
	if c.Inheritable != nil {
		c.Ambient = append(c.Ambient, names...)
	}
}

// setUser applies --user UID[:GID] and --additional-gids.
func setUser(user *specs.User, c call) error {
	uid, gid, withGroup := strings.Cut(c.text("user"), ":")
	if uid != "" {
		n, err := strconv.ParseUint(uid, 10, 32)
		if err != nil {
			return fmt.Errorf("bad uid: %w", err)
		}
		user.UID = uint32(n)
	}
	if withGroup {
		n, err := strconv.ParseUint(gid, 10, 32)
		if err != nil {
			return fmt.Errorf("bad gid: %w", err)
		}
		user.GID = uint32(n)
	}
	for _, gid := range c.all("additional-gids") {
		n, err := strconv.ParseUint(gid, 10, 32)
		if err != nil {
			return fmt.Errorf("bad additional gid: %w", err)
		}
		user.AdditionalGids = append(user.AdditionalGids, uint32(n))
	}
	return nil
}
