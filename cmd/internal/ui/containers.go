package ui

import (
	"fmt"
	"io"
	"strconv"

	"dray/deploy/environment"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// PrintContainers lists the containers that run; all: those kept for a rollback,
// too.
func PrintContainers(w io.Writer, hosts []environment.HostStatus, all bool) error {
	if err := containerTable(hosts, all).Print(w); err != nil {
		return err
	}
	for _, h := range hosts {
		if h.Error != "" {
			fmt.Fprintln(w, NoteLine(h.Environment, h.Host+": "+environment.WithoutHost(h.Error, h.Host)))
			continue
		}
		for _, i := range h.State.Instances {
			if text := environment.Trouble(i); text != "" {
				fmt.Fprintln(w, NoteLine(h.Environment, h.Host+": "+text))
			}
		}
	}
	return nil
}

func containerTable(hosts []environment.HostStatus, all bool) *Table {
	t := &Table{
		Header: []string{"ENV", "HOST", "INSTANCE", "RELEASE", "STATE", "HEALTH", "SERVING", "RESTARTS", "ADDRESS", "IMAGE"},
		Spare:  []string{"ADDRESS", "IMAGE", "RESTARTS", "SERVING", "ENV"},
	}
	for _, h := range hosts {
		if h.Error != "" {
			continue
		}
		for _, i := range h.State.Instances {
			if !all && i.State != "running" && i.ReleaseNumber() != h.State.Current.ReleaseNumber() {
				continue
			}
			addInstance(t, h, i)
		}
		for _, i := range h.State.Kept {
			if all || i.State == "running" {
				addInstance(t, h, i)
			}
		}
		for _, i := range h.State.Runs {
			addInstance(t, h, i)
		}
	}
	return t
}

func addInstance(t *Table, h environment.HostStatus, i api.InstanceStatus) {
	serving := "-"
	if i.Serving {
		serving = "yes"
	}
	state := i.State
	if i.State == "running" {
		state += " " + phrase.Age(i.Started)
	}
	t.Add(h.Environment, h.Host, i.Instance, i.ReleaseNumber().String(), state, i.Health, serving, strconv.Itoa(i.Restarts), i.Address, phrase.Digest(i.Image))
}
