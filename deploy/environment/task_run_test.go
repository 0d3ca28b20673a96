package environment

import (
	"strings"
	"testing"

	"dray/pipeline"
	"dray/targets/api"
)

func TestChooseRun(t *testing.T) {
	run := func(host, id string, release int) FoundRun {
		return FoundRun{TaskRun: api.TaskRun{ID: id, Task: "migrate", ReleaseRef: api.ReleaseRef{Release: release}}, Host: host}
	}
	found := []FoundRun{run("p1", "00000012", 42), run("p2", "00000009", 41), run("p1", "00000009", 41), run("p1", "00000003", 40)}
	for _, test := range []struct {
		name string
		o    WantedRun
		want string // host/id, or what is said
	}{
		{"the newest", WantedRun{}, "p1/12"},
		{"of a release", WantedRun{Release: pipeline.ReleaseNumber{Number: 40}}, "p1/3"},
		{"by its number", WantedRun{Run: "12"}, "p1/12"},
		{"by its number with zeros", WantedRun{Run: "00000003"}, "p1/3"},
		{"on a host", WantedRun{Run: "p1/9"}, "p1/9"},
		{"on which host", WantedRun{Run: "9"}, "write --run p2/9 or --run p1/9"},
		{"one that is not known", WantedRun{Run: "7"}, "no run 7 of task migrate is known in prod"},
		{"a release that did not run it", WantedRun{Release: pipeline.ReleaseNumber{Number: 39}}, "task migrate has not run in prod for release 39"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := chooseRun(found, "prod", "migrate", test.o)
			switch {
			case err != nil && !strings.Contains(err.Error(), test.want):
				t.Errorf("%v, want %s", err, test.want)
			case err == nil && r.Host+"/"+RunNumber(r.ID) != test.want:
				t.Errorf("got %s/%s, want %s", r.Host, r.ID, test.want)
			}
		})
	}
}
