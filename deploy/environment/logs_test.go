package environment

import (
	"slices"
	"testing"

	"github.com/moby/moby/api/types/container"

	"dray/pipeline"
)

// TestOfRelease chooses whose output is shown.
func TestOfRelease(t *testing.T) {
	on := func(host, instance, release, state string) Container {
		return Container{
			Summary: container.Summary{ID: host + " " + instance + " " + release, State: container.ContainerState(state), Labels: map[string]string{"dray.instance": instance, "dray.release": release}},
			Engine:  &Engine{Host: host},
		}
	}
	all := []Container{
		on("p1", "web/1", "40", "exited"), on("p1", "web/1", "41", "running"),
		on("p1", "web/2", "40", "exited"), on("p1", "web/2", "39", "exited"),
		on("p2", "web/1", "40", "running"), on("p2", "web/1", "41", "created"),
		on("p3", "web/1", "40", "exited"), on("p3", "web/1", "40.1", "running"),
	}
	tests := []struct {
		name    string
		release pipeline.ReleaseNumber
		inUse   map[string]pipeline.ReleaseNumber
		want    []string
	}{
		{"a kept one is in use again", pipeline.ReleaseNumber{}, map[string]pipeline.ReleaseNumber{"p1 web/1 40": {Number: 42}},
			[]string{"p1 web/1 40", "p1 web/2 40", "p2 web/1 40", "p3 web/1 40.1"}},
		{"the release that a kept one is in use for", pipeline.ReleaseNumber{Number: 42}, map[string]pipeline.ReleaseNumber{"p1 web/1 40": {Number: 42}},
			[]string{"p1 web/1 40"}},
		{"what runs, or ran last", pipeline.ReleaseNumber{}, nil, []string{"p1 web/1 41", "p1 web/2 40", "p2 web/1 40", "p3 web/1 40.1"}},
		{"a release", pipeline.ReleaseNumber{Number: 40}, nil, []string{"p1 web/1 40", "p1 web/2 40", "p2 web/1 40", "p3 web/1 40"}},
		{"a revision", pipeline.ReleaseNumber{Number: 40, Revision: 1}, nil, []string{"p3 web/1 40.1"}},
		{"a release that is not there", pipeline.ReleaseNumber{Number: 7}, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, c := range OfRelease(all, test.release, test.inUse) {
				got = append(got, c.Engine.Host+" "+c.Instance()+" "+c.Labels["dray.release"])
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
