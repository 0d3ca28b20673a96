package acceptance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dray/testenv"
	"dray/testenv/world"
)

// shownPlan is what plan --json says of one environment.
type shownPlan struct {
	Pending bool             `json:"pending"`
	Send    map[string]int64 `json:"send"`
	Saved   string           `json:"saved"`
	Changes []struct {
		Steps []struct{ Instance, Host, Action string }
	} `json:"changes"`
}

// TestPlanIsKept plans, and deploys exactly that: what a plan says is sent and
// replaced is what happens, an exchange of blocks is nothing, and a plan is
// refused once the hosts or the file have moved.
func TestPlanIsKept(t *testing.T) {
	w := world.New(t, testenv.Options{Hosts: []string{"p1", "p2"}})
	w.App(t, "prod: p1 p2")
	w.Write(t, map[string]string{"data": "first"})
	w.Replace(t, "Dockerfile", "ARG VERSION", "COPY data /data\nARG VERSION")
	planned := func(code int, args ...string) shownPlan {
		t.Helper()
		found := typed[shownPlan](t, w.Dray(t, code, append([]string{"plan", "prod", "--json"}, args...)...), "plan")
		if len(found) != 1 {
			t.Fatalf("%d plans", len(found))
		}
		return found[0]
	}

	// The hosts have no agent yet: a plan looks, and brings none.
	if first := planned(2, "--out", "first.plan"); !first.Pending || first.Saved != "first.plan" || len(first.Changes) != 1 || len(first.Changes[0].Steps) != 2 {
		t.Errorf("the first plan: %+v", first)
	}
	w.Dray(t, 0, "deploy", "prod", "--plan", "first.plan")
	serves(t, w, "p1", "1")
	if again := planned(0); again.Pending || again.Send["p1"] != 0 || again.Send["p2"] != 0 {
		t.Errorf("after the deployment: %+v", again)
	}
	says(t, w.Dray(t, 5, "deploy", "prod", "--plan", "first.plan"), "the plan does not fit prod any more", "runs release 1; the plan was made when it ran nothing", "Nothing was changed.", "dray plan prod --out FILE")

	// The order of blocks is nothing to anybody.
	before := containerIDs(t, w)
	w.Replace(t, "dray.hcl", "  port \"http\" {\n    to      = 8080\n    publish = 80\n  }\n", "")
	w.Replace(t, "dray.hcl", "  resources {", "  port \"http\" {\n    to      = 8080\n    publish = 80\n  }\n  resources {")
	if p := planned(0); p.Pending {
		t.Errorf("two blocks were exchanged: %+v", p)
	}
	if r := w.Dray(t, 0, "deploy", "prod"); !strings.Contains(r.Stdout, "Nothing to do") {
		t.Errorf("two blocks were exchanged, and deploying did something: %s", r)
	}
	if now := containerIDs(t, w); !slices.Equal(now, before) {
		t.Errorf("containers %v became %v", before, now)
	}

	// What the plan says is sent is what travels.
	w.Write(t, map[string]string{"data": strings.Repeat("second", 1000)})
	second := planned(2, "--out", "second.plan")
	done := w.Dray(t, 0, "deploy", "prod", "--plan", "second.plan", "--json")
	for _, host := range []string{"p1", "p2"} {
		if got := received(done, host); got != second.Send[host] || got == 0 {
			t.Errorf("%s received %d bytes; planned were %d", host, got, second.Send[host])
		}
	}

	// The planned image is at hand, whatever became of its sources; the file counts.
	w.Write(t, map[string]string{"data": "third"})
	w.Replace(t, "dray.hcl", `default = "1"`, `default = "2"`)
	planned(2, "--out", "third.plan")
	w.Write(t, map[string]string{"data": "fourth"})
	w.Replace(t, "dray.hcl", `"64MiB"`, `"65MiB"`)
	says(t, w.Dray(t, 5, "deploy", "prod", "--plan", "third.plan"), "the file, or a variable that it reads, says otherwise than it did")
	w.Replace(t, "dray.hcl", `"65MiB"`, `"64MiB"`)
	w.Dray(t, 0, "deploy", "prod", "--plan", "third.plan")
	serves(t, w, "p1", "2")
	path := filepath.Join(w.Project, "third.plan")
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(b), `"retain": `, `"retain": 1`, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	says(t, w.Dray(t, 1, "deploy", "prod", "--plan", "third.plan"), "it was changed after dray had written it")
}

// containerIDs lists the ids of all containers.
func containerIDs(t *testing.T, w *world.World) []string {
	t.Helper()
	ids := regexp.MustCompile(`"container_id":"[^"]+"`).FindAllString(w.Dray(t, 0, "ps", "prod", "--json").Stdout, -1)
	if len(ids) == 0 {
		t.Fatal("no containers")
	}
	slices.Sort(ids)
	return ids
}

// received are the bytes of images that travelled to a host.
func received(r world.Result, host string) (sum int64) {
	for line := range strings.Lines(r.Stdout) {
		var e struct {
			Type, State, Host string
			Done              int64
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Type == "host.state" && e.State == "prepared" && e.Host == host {
			sum += e.Done
		}
	}
	return sum
}
