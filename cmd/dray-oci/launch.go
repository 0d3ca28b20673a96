//go:build linux && cgo

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/specconv"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// A launch is one process on its way into a container: what create, run and
// exec have in common.
type launch struct {
	container *libcontainer.Container
	spec      *specs.Process
	init      bool // the container's first process
	adopt     bool // reap the orphans below it
	hold      bool // stop before the program itself (create)
	detach    bool // don't wait for its end
	remove    bool // delete the container afterwards
	preserve  int  // descriptors from 3 on that are handed over
	pidFile   string
	console   string // socket that gets the terminal
	pidfd     string // socket that gets a pidfd of the process

	// groups are cgroups below the container's that the process joins, by
	// controller; version 2 has one, under "".
	groups map[string]string
}

// create makes a container whose process waits for start.
func create(c call) (int, error) {
	return launchContainer(c, launch{init: true, hold: true, detach: true})
}

// run makes and starts a container; unless --detach is given it waits for its
// end and returns its exit code.
func run(c call) (int, error) {
	return launchContainer(c, launch{
		init: true, adopt: !c.has("no-subreaper"), detach: c.has("detach"), remove: !c.has("keep"),
	})
}

func launchContainer(c call, l launch) (int, error) {
	go warmCgroups() // it ends long before we do, or with us
	if err := l.readFlags(c); err != nil {
		return 1, err
	}
	if bundle := c.text("bundle"); bundle != "" {
		if err := os.Chdir(bundle); err != nil {
			return 1, err
		}
	}
	spec, err := readSpec()
	if err != nil {
		return 1, err
	}
	rootless, err := rootlessCgroups(c.global)
	if err != nil {
		return 1, err
	}
	config, err := specconv.CreateLibcontainerConfig(&specconv.CreateOpts{
		CgroupName:       c.args[0],
		UseSystemdCgroup: c.global.has("systemd-cgroup"),
		NoPivotRoot:      c.has("no-pivot"),
		NoNewKeyring:     c.has("no-new-keyring"),
		Spec:             spec,
		RootlessEUID:     os.Geteuid() != 0,
		RootlessCgroups:  rootless,
	})
	if err != nil {
		return 1, err
	}
	l.spec = spec.Process
	l.container, err = libcontainer.Create(c.root(), c.args[0], config)
	if err != nil {
		return 1, err
	}
	code, err := l.do()
	if err != nil {
		if undo := l.container.Destroy(); undo != nil {
			logrus.Warn(undo)
		}
		return 1, err
	}
	if l.remove && !l.detach {
		if err := l.container.Destroy(); err != nil {
			logrus.Warn(err)
		}
	}
	return code, nil
}

// readFlags takes over the flags of a launch. Paths become absolute, because
// the folder changes to the bundle's.
func (l *launch) readFlags(c call) error {
	var err error
	if l.preserve, err = c.number("preserve-fds"); err != nil {
		return err
	}
	for name, path := range map[string]*string{
		"pid-file": &l.pidFile, "console-socket": &l.console, "pidfd-socket": &l.pidfd,
	} {
		if *path = c.text(name); *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return nil
}

// do starts the process, and waits for it unless it is detached.
func (l *launch) do() (int, error) {
	if l.detach && l.spec.Terminal && l.console == "" {
		return 1, errors.New("cannot allocate tty if runc will detach without setting console socket")
	}
	if l.console != "" && !l.spec.Terminal { // unlike runc's, one that waits may have it too
		return 1, errors.New("cannot use console socket if runc will not allocate tty")
	}
	process, err := newProcess(l.spec)
	if err != nil {
		return 1, err
	}
	process.Init = l.init
	process.SubCgroupPaths = l.groups
	if err := l.handOver(process); err != nil {
		return 1, err
	}
	var signals *watcher
	if !l.detach {
		signals = watch(l.adopt)
	}
	io, err := l.connect(process)
	if err != nil {
		return 1, err
	}
	defer io.close()
	if err := l.start(process); err != nil {
		return 1, err
	}
	if err := l.started(process, io); err != nil {
		_ = process.Signal(unix.SIGKILL) // it may be gone already
		_, _ = process.Wait()
		return 1, err
	}
	if l.detach {
		return 0, nil
	}
	return signals.wait(process, io)
}

func (l *launch) start(process *libcontainer.Process) error {
	if l.pidfd != "" {
		socket, err := dial(l.pidfd)
		if err != nil {
			return err
		}
		defer socket.Close()
		process.PidfdSocket = socket
	}
	if l.hold {
		return l.container.Start(process)
	}
	return l.container.Run(process)
}

// started finishes what needs the process to exist.
func (l *launch) started(process *libcontainer.Process, io *stdio) error {
	if err := io.started(); err != nil {
		return err
	}
	if l.pidFile == "" {
		return nil
	}
	pid, err := process.Pid()
	if err != nil {
		return err
	}
	return writePid(l.pidFile, pid)
}

// writePid makes the file appear whole, for those who wait for it.
func writePid(path string, pid int) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(temp, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// readSpec reads the config.json of the bundle, the current folder.
func readSpec() (*specs.Spec, error) {
	data, err := os.ReadFile("config.json")
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("JSON specification file config.json not found")
	}
	if err != nil {
		return nil, err
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("reading config.json: %w", err)
	}
	dropUngrantable(spec.Process)
	return &spec, checkProcess(spec.Process)
}
