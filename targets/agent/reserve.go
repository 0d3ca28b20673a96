package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/runtime"
	"dray/targets/runtime/cgroup"
)

// reserveRoom refuses what can't fit: an instance that may use more memory
// than the host has, an image that is larger than the free disk. A limit is
// not a use, so a sum of limits above what is free is only said.
func (a *Agent) reserveRoom(w *work) error {
	total, free := memory()
	var sum pipeline.Bytes
	for _, p := range w.placed {
		limit := p.service.Resources.Memory
		if total > 0 && int64(limit) > total {
			return &api.Error{
				Code: api.CodeSpace, Instance: p.instance, Service: p.service.Name,
				Message: fmt.Sprintf("%s may use %s of memory, and the host has %s", p.instance, limit, pipeline.Bytes(total)),
			}
		}
		if _, running := a.alike(w, p); !running {
			sum += limit
		}
	}
	if free > 0 && int64(sum) > free {
		w.sink.Emit(event.Event{Type: event.Warning, Text: fmt.Sprintf(
			"the new containers may use up to %s of memory, and %s is free", sum, pipeline.Bytes(free))})
	}
	return nil
}

// tellUnlimited warns of limits that nothing enforces here, because the kernel
// does not give this host the controller. They don't stop a deployment: the
// service runs as well as without them.
func (a *Agent) tellUnlimited(w *work) {
	_, works := cgroup.Controllers()
	for _, limit := range []struct {
		controller, remedy string
		of                 func(r pipeline.Resources) string
	}{
		{"cpu", "", func(r pipeline.Resources) string { return fmt.Sprint(r.CPU) }},
		{"memory", "some kernels need cgroup_enable=memory on their command line",
			func(r pipeline.Resources) string { return r.Memory.String() }},
		{"pids", "", func(r pipeline.Resources) string { return fmt.Sprint(r.Pids) }},
	} {
		if slices.Contains(works, limit.controller) {
			continue
		}
		none := limit.of(pipeline.Resources{})
		var lost []string
		for _, p := range w.placed {
			if value := limit.of(p.service.Resources); value != none {
				lost = append(lost, fmt.Sprintf("%s = %s of %s", limit.controller, value, p.service.Name))
			}
		}
		slices.Sort(lost)
		if lost = slices.Compact(lost); len(lost) > 0 {
			w.sink.Emit(event.Event{Type: event.Warning, Next: limit.remedy, Text: fmt.Sprintf(
				"%s has no %s controller: not enforced: %s", w.Host, limit.controller, strings.Join(lost, ", "))})
		}
	}
}

// tellNameless warns where containers of this host can't resolve names. It does
// not stop a deployment: a service may need none.
func (a *Agent) tellNameless(w *work) {
	unreachable, err := runtime.UnreachableResolvers()
	text := ""
	switch {
	case err != nil:
		text = err.Error()
	case len(unreachable) > 0:
		text = fmt.Sprintf("containers on %s can't resolve names of other hosts: its nameservers (%s) listen on its loopback only",
			w.Host, strings.Join(unreachable, ", "))
	default:
		return
	}
	w.sink.Emit(event.Event{Type: event.Warning, Text: text, Next: "name a nameserver that containers can reach in /etc/resolv.conf of " + w.Host})
}

// reservePorts has the environment's network exist and holds the published
// ports of the services placed here.
func (a *Agent) reservePorts(ctx context.Context, w *work) error {
	if len(w.placed) == 0 {
		return nil
	}
	if err := a.ensureNetwork(ctx, w); err != nil {
		return err
	}
	done := map[string]bool{}
	for _, p := range w.placed {
		if done[p.service.Name] {
			continue
		}
		done[p.service.Name] = true
		if err := a.parts.Traffic.Reserve(ctx, w.e.network(), p.service.Name, p.service.Ports); err != nil {
			return portFault(p.service.Name, err)
		}
	}
	return nil
}

// ensureNetwork has the environment's network exist, with the names of the
// services placed here.
func (a *Agent) ensureNetwork(ctx context.Context, w *work) error {
	var names []string
	for _, p := range w.placed {
		names = append(names, p.service.Name)
	}
	slices.Sort(names)
	if err := a.parts.Traffic.Ensure(ctx, w.e.network(), slices.Compact(names)); err != nil {
		return fmt.Errorf("making the network %s: %w", w.e.network(), err)
	}
	return nil
}

func portFault(service string, err error) error {
	fault := &api.Error{}
	if !errors.As(err, &fault) {
		return fmt.Errorf("reserving the ports of %s: %w", service, err)
	}
	fault.Service = service
	return fault
}

// isFull says whether an error is a full disk.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
