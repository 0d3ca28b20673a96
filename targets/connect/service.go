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
	file    string // what install writes
	text    string
	mode    os.FileMode
	enabled string // pattern of what exists when it starts at boot
	enable  func(ctx context.Context) error
	disable func(ctx context.Context) error
	start   func(ctx context.Context) error
	restart func(ctx context.Context) error
}

const (
	unitFile   = "/etc/systemd/system/dray.service"
	initScript = "/etc/init.d/dray"
)

const unitText = `[Unit]
Description=dray: runs the containers of this host
After=network-online.target nftables.service firewalld.service
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
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

const openrcText = `#!/sbin/openrc-run
description="dray: runs the containers of this host"
supervisor=supervise-daemon
command=/var/lib/dray/bin/current/drayd
command_args=agent
rc_ulimit="-n 1048576"
depend() {
	need net localmount
	after firewall
}
`

const sysvText = `#!/bin/sh
### BEGIN INIT INFO
# Provides:          dray
# Required-Start:    $local_fs $network
# Required-Stop:     $local_fs $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: dray: runs the containers of this host
### END INIT INFO
exec /var/lib/dray/bin/current/drayd service "$1"
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
		name: "systemd", file: unitFile, text: unitText, mode: 0o644,
		enabled: "/etc/systemd/system/multi-user.target.wants/dray.service",
		enable: func(ctx context.Context) error {
			return errors.Join(run(ctx, "systemctl", "daemon-reload"), run(ctx, "systemctl", "enable", "dray.service"))
		},
		disable: ctl("disable", "--now", "dray.service"),
		start:   ctl("start", "dray.service"),
		restart: ctl("restart", "dray.service"),
	}
}

func openrc() *service {
	return &service{
		name: "openrc", file: initScript, text: openrcText, mode: 0o755,
		enabled: "/etc/runlevels/default/dray",
		enable:  func(ctx context.Context) error { return run(ctx, "rc-update", "add", "dray", "default") },
		disable: func(ctx context.Context) error { return run(ctx, "rc-update", "del", "dray") },
		start:   func(ctx context.Context) error { return run(ctx, "rc-service", "dray", "start") },
		restart: func(ctx context.Context) error { return run(ctx, "rc-service", "dray", "restart") },
	}
}

func sysv() *service {
	return &service{
		name: "sysv", file: initScript, text: sysvText, mode: 0o755,
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

func (s *service) isInstalled() bool { return s.file != "" && exists(s.file) }

// install writes the service's file, when it differs, and enables it.
func (s *service) install(ctx context.Context) error {
	if s.file == "" {
		return nil
	}
	old, err := os.ReadFile(s.file)
	if err == nil && bytes.Equal(old, []byte(s.text)) && StartsAtBoot() {
		return nil
	}
	if err := durable.Write(s.file, []byte(s.text), s.mode); err != nil {
		return err
	}
	return s.enable(ctx)
}

func (s *service) remove(ctx context.Context) error {
	if !s.isInstalled() {
		return nil
	}
	return errors.Join(s.disable(ctx), os.Remove(s.file))
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
		return stopAgent(ctx)
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
	if err := stopAgent(ctx); err != nil {
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
