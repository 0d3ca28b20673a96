package connect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"dray/pipeline/durable"
)

// service is how this host keeps daemons running.
type service struct {
	name    string
	files   []serviceFile // what install writes; the first is the agent's own
	enabled string        // pattern of what exists when it starts at boot
	enable  func(ctx context.Context) error
	disable func(ctx context.Context) error
	start   func(ctx context.Context) error
	restart func(ctx context.Context) error
	forget  func(ctx context.Context) error // called once the files are gone; nil: nothing is to be done
}

// serviceFile is one file of a service manager's.
type serviceFile struct {
	path, text string
	mode       os.FileMode
}

const (
	unitFile     = "/etc/systemd/system/dray.service"
	haltUnitFile = "/etc/systemd/system/dray-containers.service"
	initScript   = "/etc/init.d/dray"
)

// The agent's unit. It may be stopped, and started again, while containers run:
// KillMode leaves their shims. The watchdog is for an agent that hangs.
const unitText = `[Unit]
Description=dray: the agent of this host
After=network-online.target nftables.service firewalld.service ufw.service
Wants=network-online.target
RequiresMountsFor=/var/lib/dray
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WatchdogSec=2min
ExecStart=/var/lib/dray/bin/current/drayd agent
Restart=always
RestartSec=200ms
KillMode=process
Delegate=yes
OOMScoreAdjust=-500
TasksMax=infinity
LimitNOFILE=1048576
LimitNPROC=infinity

[Install]
WantedBy=multi-user.target
`

// The containers' unit does nothing until the machine goes down: then it stops
// them in order. Units are stopped in the reverse of the order in which they are
// started, so whatever it is started after outlives the containers: the agent,
// the network, name service, and mounts that they may use.
const haltUnitText = `[Unit]
Description=dray: stops the containers of this host in order when it goes down
After=dray.service network.target network-online.target nss-lookup.target local-fs.target remote-fs.target time-sync.target
After=nftables.service firewalld.service ufw.service
RequiresMountsFor=/var/lib/dray

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/bin/rm -f /run/dray/shutdown
ExecStop=/var/lib/dray/bin/current/drayd shutdown
TimeoutStopSec=infinity
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
`

// OpenRC sets RC_GOINGDOWN for what it stops because the machine goes down.
const openrcText = `#!/sbin/openrc-run
description="dray: runs the containers of this host"
supervisor=supervise-daemon
command=/var/lib/dray/bin/current/drayd
command_args=agent
error_log=/var/lib/dray/agent.log
rc_ulimit="-n 1048576"
depend() {
	need net localmount
	use dns netmount
	after firewall
}
stop_pre() {
	if yesno "$RC_GOINGDOWN"; then
		/var/lib/dray/bin/current/drayd shutdown
	fi
}
`

// rc sets RUNLEVEL for what it stops: 0 is a halt, 6 a reboot. By hand there is
// none.

const sysvText = `#!/bin/sh
### BEGIN INIT INFO
# Provides:          dray
# Required-Start:    $local_fs $network
# Required-Stop:     $local_fs $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: dray: runs the containers of this host
### END INIT INFO
drayd=/var/lib/dray/bin/current/drayd
case "$1:$RUNLEVEL" in
stop:0|stop:6) exec $drayd shutdown ;;
esac
exec $drayd service "$1"
`

// detectService finds out what keeps daemons running here.
func detectService() *service {
	switch {
	case exists("/run/systemd/system"):
		return systemd()
	case exists("/run/openrc") && exists("/sbin/openrc-run"):
		return openrc()
	case exists("/etc/init.d"):
		return sysv()
	}
	return &service{name: "none", restart: restartDetached}
}

func systemd() *service {
	ctl := func(args ...string) func(context.Context) error {
		return func(ctx context.Context) error { return run(ctx, "systemctl", args...) }
	}
	return &service{
		name: "systemd", files: []serviceFile{{unitFile, unitText, 0o644}, {haltUnitFile, haltUnitText, 0o644}},
		enabled: "/etc/systemd/system/multi-user.target.wants/dray.service",
		enable: func(ctx context.Context) error {
			return errors.Join(
				run(ctx, "systemctl", "daemon-reload"),
				run(ctx, "systemctl", "enable", "dray.service", "dray-containers.service"),
				// Only what is active is stopped when the machine goes down.
				run(ctx, "systemctl", "start", "--no-block", "dray-containers.service"))
		},
		disable: ctl("disable", "--now", "dray-containers.service", "dray.service"),
		start:   ctl("start", "dray.service"),
		restart: ctl("restart", "dray.service"),
		forget:  ctl("daemon-reload"),
	}
}

func openrc() *service {
	return &service{
		name: "openrc", files: []serviceFile{{initScript, openrcText, 0o755}},
		enabled: "/etc/runlevels/default/dray",
		enable:  func(ctx context.Context) error { return run(ctx, "rc-update", "add", "dray", "default") },
		disable: func(ctx context.Context) error { return run(ctx, "rc-update", "del", "dray") },
		start:   func(ctx context.Context) error { return run(ctx, "rc-service", "dray", "start") },
		restart: func(ctx context.Context) error { return run(ctx, "rc-service", "dray", "restart") },
	}
}

func sysv() *service {
	return &service{
		name: "sysv", files: []serviceFile{{initScript, sysvText, 0o755}},
		enabled: "/etc/rc2.d/S[0-9][0-9]dray",
		enable: func(ctx context.Context) error {
			if _, err := exec.LookPath("update-rc.d"); err == nil {
				return run(ctx, "update-rc.d", "dray", "defaults")
			}
			return linkRunlevels()
		},
		disable: func(context.Context) error { return unlinkRunlevels() },
		restart: restartDetached,
	}
}

// linkRunlevels does what update-rc.d does: S links where dray runs, K links
// where it ends.
func linkRunlevels() error {
	for level, prefix := range map[string]string{"0": "K", "1": "K", "2": "S", "3": "S", "4": "S", "5": "S", "6": "K"} {
		dir := "/etc/rc" + level + ".d"
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		err := os.Symlink("../init.d/dray", filepath.Join(dir, prefix+"20dray"))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func unlinkRunlevels() error {
	links, err := filepath.Glob("/etc/rc[0-6].d/[SK][0-9][0-9]dray")
	for _, link := range links {
		err = errors.Join(err, os.Remove(link))
	}
	return err
}

func (s *service) isInstalled() bool { return len(s.files) > 0 && exists(s.files[0].path) }

// isCurrent says whether all files are there as they are to be.
func (s *service) isCurrent() bool {
	for _, f := range s.files {
		if old, err := os.ReadFile(f.path); err != nil || string(old) != f.text {
			return false
		}
	}
	return true
}

// install writes the service's files, when they differ, and enables it.
func (s *service) install(ctx context.Context) error {
	if len(s.files) == 0 || s.isCurrent() && StartsAtBoot() {
		return nil
	}
	for _, f := range s.files {
		if err := durable.Write(f.path, []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	return s.enable(ctx)
}

func (s *service) remove(ctx context.Context) error {
	if !s.isInstalled() {
		return nil
	}
	err := s.disable(ctx)
	for _, f := range s.files {
		if removal := os.Remove(f.path); !errors.Is(removal, fs.ErrNotExist) {
			err = errors.Join(err, removal)
		}
	}
	if s.forget != nil {
		err = errors.Join(err, s.forget(ctx))
	}
	return err
}

// StartsAtBoot tells whether the agent starts with this host.
func StartsAtBoot() bool {
	s := detectService()
	if s.enabled == "" || !s.isInstalled() {
		return false
	}
	found, err := filepath.Glob(s.enabled)
	return err == nil && len(found) > 0
}

// Service is the agent's control where no service manager does it.
func Service(ctx context.Context, verb string) error {
	switch verb {
	case "start":
		if agentAnswers() {
			return nil
		}
		if err := startDetached(); err != nil {
			return err
		}
	case "restart", "force-reload":
		if err := restartDetached(ctx); err != nil {
			return err
		}
	case "stop":
		return StopAgent(ctx)
	case "status":
		if !agentAnswers() {
			return fmt.Errorf("the agent does not run")
		}
		return nil
	default:
		return fmt.Errorf("drayd service takes start, stop, restart or status, not %q", verb)
	}
	waiting, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	return waitForAgent(waiting)
}

func restartDetached(ctx context.Context) error {
	if err := StopAgent(ctx); err != nil {
		return err
	}
	return startDetached()
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
