package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"dray/testenv"
)

// hostVerb is something that is done to hosts, one after the other.
type hostVerb struct {
	name, short string
	changes     bool // what is written of the lab
	do          func(context.Context, *testenv.Host) error
}

var hostVerbs = []hostVerb{
	{"start", "Switch hosts on", true, func(ctx context.Context, h *testenv.Host) error { return h.Start(ctx) }},
	{"stop", "Cut hosts' power: processes die, disks stay", true, func(ctx context.Context, h *testenv.Host) error { return h.Stop(ctx) }},
	{"reboot", "Cut hosts' power and switch them on again", true, func(ctx context.Context, h *testenv.Host) error { return h.Reboot(ctx) }},
	{"cut", "Unplug hosts' network cables", false, func(_ context.Context, h *testenv.Host) error { return h.Cut() }},
	{"restore", "Plug hosts' network cables in again", false, func(_ context.Context, h *testenv.Host) error { return h.Restore() }},
	{"fill", "Fill hosts' disks (of a lab with --disk)", false, func(_ context.Context, h *testenv.Host) error { return h.FillDisk(0) }},
	{"free", "Take back what fill has taken", false, func(_ context.Context, h *testenv.Host) error { return h.FreeDisk() }},
}

func hostCommand(s *settings, v hostVerb) *cobra.Command {
	return &cobra.Command{
		Use:   v.name + " HOST…",
		Short: v.short,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if v.changes {
				lock, err := testenv.Lock(s.dir, s.name)
				if err != nil {
					return err
				}
				defer lock.Close()
			}
			lab, err := s.load()
			if err != nil {
				return err
			}
			for _, name := range args {
				h, err := find(lab, name)
				if err != nil {
					return err
				}
				if err := v.do(cmd.Context(), h); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// find is Lab.Host for a name that a person typed.
func find(lab *testenv.Lab, name string) (*testenv.Host, error) {
	for _, h := range lab.Hosts() {
		if h.Name == name {
			return h, nil
		}
	}
	return nil, fmt.Errorf("lab %s has no host %q", lab.Name, name)
}
