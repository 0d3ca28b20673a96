package acceptance

import (
	"strings"
	"sync"
	"testing"

	"dray/testenv"
	"dray/testenv/world"
)

// TestBuilds looks that two builds at once share one builder, and that two
// clean builds of the same files give the same digest.
func TestBuilds(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"d1"}})
	w.App(t, "dev: d1")
	w.Replace(t, "Dockerfile", "FROM scratch", "FROM busybox\nRUN date > /built-at-the-same-time; rm /built-at-the-same-time; echo same > /file")
	var group sync.WaitGroup
	results := make([]world.Result, 2)
	for i := range results {
		group.Go(func() { results[i] = w.Run(t.Context(), "build") })
	}
	group.Wait()
	digests := map[string]bool{}
	for _, r := range results {
		if r.Code != 0 {
			t.Fatal(r)
		}
		digests[strings.Fields(r.Stdout)[1]] = true
	}
	status := w.Dray(t, 0, "builder", "status")
	if !strings.Contains(status.Stdout, "runs as process") {
		t.Errorf("%s", status)
	}
	w.Dray(t, 0, "build", "--verify")
	again := w.Dray(t, 0, "build", "--no-cache")
	digests[strings.Fields(again.Stdout)[1]] = true
	if len(digests) != 1 {
		t.Errorf("the digests differ: %v", digests)
	}
}
