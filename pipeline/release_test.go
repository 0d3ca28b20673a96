package pipeline

import (
	"fmt"
	"testing"
)

func TestWhatAHostNeeds(t *testing.T) {
	r := &Release{
		Tasks: []Task{{Name: "migrate"}, {Name: "report"}},
		Images: map[string]ReleaseImage{
			"web": {Digest: "sha256:web"}, "db": {Digest: "sha256:db"}, "task.migrate": {Digest: "sha256:web"}, "task.report": {Digest: "sha256:report"},
		},
		Placement: map[string][]string{"p1": {}, "p2": {"db/1", "web/1", "web/2"}, "p3": {"task.report"}},
	}
	for host, want := range map[string]string{"p1": "[sha256:web]", "p2": "[sha256:db sha256:web]", "p3": "[sha256:report]", "p4": "[]"} {
		if got := fmt.Sprint(r.ImagesOn(host)); got != want {
			t.Errorf("%s needs %s, want %s", host, got, want)
		}
	}
	for task, want := range map[string]string{"migrate": "p1", "report": "p3"} {
		if got := r.TaskHost(task); got != want {
			t.Errorf("task %s runs on %s, want %s", task, got, want)
		}
	}
}
