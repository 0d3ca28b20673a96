package acceptance

import (
	"strings"
	"testing"

	"dray/testenv"
	"dray/testenv/world"
)

// TestOneNameOfTwo has environment c-d of project ab run, and takes down
// environment d of project ab-c, with its volumes, before and after that one
// runs on the same host: nothing of the first goes with it.
func TestOneNameOfTwo(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1"}})
	w.App(t, "c-d: p1")
	w.Replace(t, "dray.hcl", `project = "shop"`, `project = "ab"`)
	w.Replace(t, "dray.hcl", "  resources {", "  volume \"data\" { destination = \"/data\" }\n  resources {")
	w.Dray(t, 0, "deploy", "c-d", "--var", "count=1")
	before := drained(t, w, 1)
	volume := func() string {
		out, err := w.Lab.Host("p1").Exec(t.Context(), "sh", "-c", "ls -d /var/lib/dray/volumes/*/data")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	had := volume()

	stop := watch(t, w, "p1", false)
	w.Replace(t, "dray.hcl", `project = "ab"`, `project = "ab-c"`)
	w.Replace(t, "dray.hcl", `environment "c-d"`, `environment "d"`)
	for _, port := range []string{"publish = 80", "publish  = 7000"} {
		w.Replace(t, "dray.hcl", port, strings.Replace(port, "= ", "= 1", 1))
	}
	w.Dray(t, 0, "down", "d", "--volumes", "--yes")
	w.Dray(t, 0, "deploy", "d", "--var", "count=1")
	drained(t, w, 2)
	w.Dray(t, 0, "down", "d", "--volumes", "--yes")
	stop()
	if now := drained(t, w, 1); now != before {
		t.Errorf("the other environment runs other containers:\n%s\nbefore:\n%s", now, before)
	}
	if now := volume(); now != had {
		t.Errorf("these volumes are left: %q, want %q", now, had)
	}
}
