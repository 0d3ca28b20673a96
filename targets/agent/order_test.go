package agent

import (
	"slices"
	"testing"

	"dray/targets/runtime"
)

// TestOrder: a shutdown and a boot go through the containers of a host in
// opposite orders.
func TestOrder(t *testing.T) {
	made := func(name string, state runtime.State, mounts []runtime.Mount, labels ...string) runtime.Container {
		c := runtime.Container{State: state, Spec: runtime.Spec{Name: name, Mounts: mounts, Labels: map[string]string{}}}
		for _, l := range labels {
			c.Spec.Labels[l] = name
		}
		return c
	}
	data := []runtime.Mount{{Source: "/var/lib/dray/volumes/x", Destination: "/data"}}
	settings := []runtime.Mount{{Source: "/etc/x", Destination: "/etc/x", ReadOnly: true}}
	all := []runtime.Container{
		made("db", runtime.Running, data),
		made("web", runtime.Running, nil),
		made("migrate", runtime.Running, data, runtime.LabelTask),
		made("shell", runtime.Running, nil, runtime.LabelRun),
		made("proxy", runtime.Paused, settings),
		made("old", runtime.Exited, data),
		made("prepared", runtime.Created, nil),
	}
	names := func(containers []runtime.Container) (out []string) {
		for _, c := range containers {
			out = append(out, c.Spec.Name)
		}
		return out
	}
	var stages [][]string
	for _, stage := range StopOrder(all) {
		stages = append(stages, names(stage))
	}
	want := [][]string{{"migrate", "shell"}, {"web", "proxy"}, {"db"}}
	if !slices.EqualFunc(stages, want, slices.Equal[[]string]) {
		t.Errorf("stopped as %v, want %v", stages, want)
	}
	if got := names(startOrder(all)); !slices.Equal(got, []string{"db", "old", "web", "proxy", "prepared", "migrate", "shell"}) {
		t.Errorf("started as %v", got)
	}
}
