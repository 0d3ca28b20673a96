package acceptance

import (
	"slices"
	"testing"

	"dray/testenv"
	"dray/testenv/world"
)

// TestRollbackOverTodaysHosts: after hosts were taken out, or added, an older
// release comes whole onto those that there are.
func TestRollbackOverTodaysHosts(t *testing.T) {
	w := world.New(t, testenv.Options{Hosts: []string{"p1", "p2", "p3"}})
	w.App(t, "prod: p1 p2", "spare: p3")
	w.Dray(t, 0, "deploy", "prod", "--var", "version=1")
	whole := func(release, revision int, hosts ...string) {
		t.Helper()
		s := w.Status(t)["prod"]
		if s.Release != release || s.Revision != revision || s.Services["web"] != "2/2 healthy" {
			t.Errorf("status: release %d.%d, web %s; want %d.%d with 2/2 healthy", s.Release, s.Revision, s.Services["web"], release, revision)
		}
		for _, host := range hosts {
			serves(t, w, host, "1")
		}
	}

	w.Replace(t, "dray.hcl", "hosts = [host.p1, host.p2]", "hosts = [host.p1]")
	w.Dray(t, 0, "deploy", "prod", "--var", "version=2")
	w.Dray(t, 0, "rollback", "prod", "1")
	whole(1, 1, "p1")

	w.Replace(t, "dray.hcl", "hosts = [host.p1]", "hosts = [host.p1, host.p3]")
	w.Dray(t, 0, "deploy", "prod", "--var", "version=3")
	w.Dray(t, 0, "rollback", "prod")
	whole(1, 2, "p1", "p3")
	if lines := history(t, w, "prod"); !slices.Contains(lines[0].Hosts, "p3") || lines[0].Kind != "rollback" {
		t.Errorf("history begins with %+v", lines[0])
	}
}
