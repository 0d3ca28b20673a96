//go:build linux && cgo

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	selinux "github.com/opencontainers/selinux/go-selinux"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// checkProcess says what a process of a spec lacks.
func checkProcess(p *specs.Process) error {
	switch {
	case p == nil:
		return errors.New("process property must not be empty")
	case p.Cwd == "":
		return errors.New("Cwd property must not be empty")
	case !filepath.IsAbs(p.Cwd):
		return errors.New("Cwd must be an absolute path")
	case len(p.Args) == 0:
		return errors.New("args must not be empty")
	case p.SelinuxLabel != "" && !selinux.GetEnabled():
		return errors.New("selinux label is specified in config, but selinux is disabled or not supported")
	}
	return nil
}

// newProcess turns a spec's process into libcontainer's. Limits that this host
// can't give are lowered: asking for them would make the start fail.
func newProcess(p *specs.Process) (*libcontainer.Process, error) {
	lp := &libcontainer.Process{
		Args:            p.Args,
		Env:             p.Env,
		UID:             int(p.User.UID),
		GID:             int(p.User.GID),
		Cwd:             p.Cwd,
		Label:           p.SelinuxLabel,
		NoNewPrivileges: &p.NoNewPrivileges,
		AppArmorProfile: p.ApparmorProfile,
		Scheduler:       p.Scheduler,
		IOPriority:      p.IOPriority,
		LogLevel:        fmt.Sprint(int(logrus.GetLevel())),
	}
	if p.ConsoleSize != nil {
		lp.ConsoleWidth = uint16(p.ConsoleSize.Width)
		lp.ConsoleHeight = uint16(p.ConsoleSize.Height)
	}
	for _, gid := range p.User.AdditionalGids {
		lp.AdditionalGroups = append(lp.AdditionalGroups, int(gid))
	}
	if c := p.Capabilities; c != nil {
		lp.Capabilities = &configs.Capabilities{
			Bounding: c.Bounding, Effective: c.Effective, Inheritable: c.Inheritable,
			Permitted: c.Permitted, Ambient: c.Ambient,
		}
	}
	limits, err := newRlimits(p.Rlimits)
	if err != nil {
		return nil, err
	}
	lp.Rlimits = limits
	lp.CPUAffinity, err = configs.ConvertCPUAffinity(p.ExecCPUAffinity)
	return lp, err
}

// dropUngrantable leaves the capabilities out that this host can't give. It
// comes before anything else sees the process: a container's own set is kept,
// too, and used by an exec that names none.
func dropUngrantable(p *specs.Process) {
	if p == nil || p.Capabilities == nil {
		return
	}
	c := p.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Inheritable, &c.Permitted, &c.Ambient} {
		*set = grantable(*set)
	}
}

// bounding holds the names of the capabilities in this process's bounding
// set; capset(2) refuses any other.
var bounding map[string]bool

// grantable returns those of names that the bounding set has.
func grantable(names []string) []string {
	if bounding == nil {
		bounding = make(map[string]bool, 48)
		for _, c := range capability.ListKnown() {
			if ok, err := capability.GetBound(c); err == nil && ok {
				bounding["CAP_"+strings.ToUpper(c.String())] = true
			}
		}
	}
	kept := make([]string, 0, len(names))
	for _, name := range names {
		if bounding[name] {
			kept = append(kept, name)
		} else {
			logrus.Debugf("capability %s is outside the bounding set: left out", name)
		}
	}
	return kept
}

var rlimits = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU,
	"RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE,
	"RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC,
	"RLIMIT_RSS": unix.RLIMIT_RSS, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
	"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

// newRlimits converts limits. Without CAP_SYS_RESOURCE a hard limit can only
// be lowered (getrlimit(2)): then what is asked beyond it becomes the limit
// that there is.
func newRlimits(asked []specs.POSIXRlimit) ([]configs.Rlimit, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	mayRaise := len(grantable([]string{"CAP_SYS_RESOURCE"})) == 1
	limits := make([]configs.Rlimit, 0, len(asked))
	for _, a := range asked {
		kind, ok := rlimits[a.Type]
		if !ok {
			return nil, fmt.Errorf("wrong rlimit value: %s", a.Type)
		}
		limit := configs.Rlimit{Type: kind, Hard: a.Hard, Soft: a.Soft}
		if !mayRaise {
			var own unix.Rlimit
			if err := unix.Getrlimit(kind, &own); err != nil {
				return nil, fmt.Errorf("reading %s: %w", a.Type, err)
			}
			limit.Hard = min(limit.Hard, own.Max)
			limit.Soft = min(limit.Soft, limit.Hard)
		}
		limits = append(limits, limit)
	}
	return limits, nil
}
