package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// tellManager tells the service manager of a host something about the agent
// (sd_notify(3)), where there is one that listens.
func tellManager(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("telling the service manager", "state", state, "error", err)
	}
}

// watchdog tells the service manager regularly that the agent lives, for as long
// as it does: an agent that hangs is killed and started again, and its
// containers notice nothing. Without a manager that asks for it, it ends at once.
func watchdog(ctx context.Context, log *slog.Logger, alive func(context.Context) bool) error {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("reading how often the service manager looks", "error", err)
	}
	if err != nil || interval == 0 {
		return nil
	}
	tick := time.NewTicker(interval / 4)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, interval/4)
		if alive(asking) {
			tellManager(log, daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			log.Error("the agent does not answer itself", "since", interval/4)
		}
		cancel()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// answers asks the agent for its containers, over its socket, as a client does:
// that takes a connection, the API, and a look at each container. An agent that
// is not up yet lives as long as it tries.
func (d *hostAgent) answers(ctx context.Context) bool {
	if !d.gate.isOpen() {
		return true
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", filepath.Join(d.run, "agent.sock"))
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/containers/json", http.NoBody)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // that it came is the answer
	return true
}
