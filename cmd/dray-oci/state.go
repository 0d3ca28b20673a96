//go:build linux && cgo

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/utils"
)

// containerState is what state and list print: the runtime specification's
// state, and runc's additions.
type containerState struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"` // 0 when stopped
	Status      string            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
}

func stateOf(container *libcontainer.Container) (containerState, error) {
	status, err := container.Status()
	if err != nil {
		return containerState{}, err
	}
	state, err := container.State()
	if err != nil {
		return containerState{}, err
	}
	pid := state.InitProcessPid
	if status == libcontainer.Stopped {
		pid = 0
	}
	bundle, annotations := utils.Annotations(state.Config.Labels)
	return containerState{
		Version: state.Config.Version, ID: state.ID, Pid: pid, Status: status.String(),
		Bundle: bundle, Rootfs: state.Config.Rootfs, Created: state.Created, Annotations: annotations,
	}, nil
}

// state prints one container's state.
func state(c call) (int, error) {
	container, err := load(c)
	if err != nil {
		return 1, err
	}
	s, err := stateOf(container)
	if err != nil {
		return 1, err
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return 1, err
	}
	_, err = os.Stdout.Write(data)
	return 0, err
}

// list prints the state of all containers. The default root appears with the
// first container; one that was asked for by name has to be there.
func list(c call) (int, error) {
	entries, err := os.ReadDir(c.root())
	if err != nil && (c.global.has("root") || !errors.Is(err, os.ErrNotExist)) {
		return 1, err
	}
	var states []containerState
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		container, err := libcontainer.Load(c.root(), entry.Name())
		if err == nil {
			var s containerState
			if s, err = stateOf(container); err == nil {
				s.Owner = owner(entry)
				states = append(states, s)
			}
		}
		if err != nil { // one that is being made or deleted
			fmt.Fprintf(os.Stderr, "load container %s: %v\n", entry.Name(), err)
		}
	}
	return 0, printStates(c, states)
}

// owner names the user that a container's state belongs to.
func owner(entry os.DirEntry) string {
	info, err := entry.Info()
	if err != nil {
		return "" // it is being deleted
	}
	uid := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Uid))
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "#" + uid
}

func printStates(c call, states []containerState) error {
	if c.has("quiet") {
		for _, s := range states {
			fmt.Println(s.ID)
		}
		return nil
	}
	switch c.text("format") {
	case "json":
		return json.NewEncoder(os.Stdout).Encode(states)
	case "", "table":
		w := tabwriter.NewWriter(os.Stdout, 12, 1, 3, ' ', 0)
		fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
		for _, s := range states {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle,
				s.Created.Format(time.RFC3339Nano), s.Owner)
		}
		return w.Flush()
	default:
		return errors.New("invalid format option")
	}
}
