package ui

import (
	"strings"
	"testing"

	"dray/deploy/environment"
	"dray/pipeline"
	"dray/targets/api"
)

// ps lists what runs, an old container that still drains among it; what waits for
// a rollback is listed on request.
func TestContainersOfOtherReleases(t *testing.T) {
	of := func(release int, state string) api.InstanceStatus {
		return api.InstanceStatus{Instance: "web/1", ReleaseRef: pipeline.ReleaseRef{Release: release}, State: state}
	}
	hosts := []environment.HostStatus{{Environment: "prod", Host: "p1", State: &api.Environment{
		Current: &api.Release{Number: 3}, Instances: []api.InstanceStatus{of(3, "running")},
		Kept: []api.InstanceStatus{of(1, "exited"), of(2, "running")},
	}}}
	for all, want := range map[bool]string{false: "3 2", true: "3 1 2"} {
		var releases []string
		for _, row := range containerTable(hosts, all).Rows {
			releases = append(releases, row[3])
		}
		if got := strings.Join(releases, " "); got != want {
			t.Errorf("all %t: it lists releases %s, want %s", all, got, want)
		}
	}
}
