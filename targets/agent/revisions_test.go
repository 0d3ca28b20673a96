package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"dray/pipeline"
	"dray/targets/api"
	"dray/targets/runtime"
)

// configured is first with another configuration of web.
func configured(revision int) api.Release {
	r := first
	r.Revision = revision
	r.Services = slices.Clone(first.Services)
	i := slices.IndexFunc(r.Services, func(s pipeline.Service) bool { return s.Name == "web" })
	r.Services[i].Env = map[string]string{"LEVEL": "debug"}
	return r
}

var numberOne = api.ReleaseNumber{Number: 1}

// TestRevisionsAreKept brings another content under the same number: both are
// kept under their own names, and the way back leads to the first.
func TestRevisionsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		again := configured(1)
		if err := (&sequence{t: t, id: "d2", r: again, steps: roll("web/1", "web/2")}).run(r); err != nil {
			t.Fatal(err)
		}
		w.assertRelease(r, 1, again)
		env, err := r.Get(t.Context())
		if err != nil || env.Current.Revision != 1 || fmt.Sprint(env.Previous) != "[1]" {
			t.Errorf("current is %+v, previous %v (%v); want 1.1 and 1", env.Current, env.Previous, err)
		}
		for _, i := range env.Instances {
			if want := strings.HasPrefix(i.Instance, "web/"); strings.HasSuffix(i.Name, ".r1.1") != want || i.ReleaseNumber().String() != "1.1" {
				t.Errorf("%s has container %s of release %s", i.Instance, i.Name, i.ReleaseNumber())
			}
		}
		records, err := r.History(t.Context(), 0)
		if err != nil || len(records) != 2 || records[0].ReleaseNumber().String() != "1.1" || records[0].FromNumber() != numberOne || records[1].ReleaseNumber() != numberOne {
			t.Errorf("history: %+v (%v)", records, err)
		}
		for _, n := range []api.ReleaseNumber{numberOne, again.ReleaseNumber()} {
			content := configured(0)
			if n == numberOne {
				content = first
			}
			if got := w.sworn(r, n); got.ReleaseNumber() != n || got.Configuration != content.ContentHash() {
				t.Errorf("the evidence about %s is about %s, configuration %s", n, got.ReleaseNumber(), got.Configuration)
			}
		}
		w.created = 0
		if err := (&sequence{t: t, id: "d3", r: first, steps: roll("web/1", "web/2")}).run(r); err != nil {
			t.Fatal(err)
		}
		w.assertRelease(r, 1, first)
		if env, err = r.Get(t.Context()); err != nil || env.Current.Revision != 0 || fmt.Sprint(env.Previous) != "[1.1]" || w.created != 0 {
			t.Errorf("after the way back: %+v, previous %v, %d containers created (%v)", env.Current, env.Previous, w.created, err)
		}
	})
}

// sworn is what the host swears about a release.
func (w *world) sworn(r *running, n api.ReleaseNumber) api.EvidencePredicate {
	w.t.Helper()
	raw, err := r.Evidence(w.t.Context(), n)
	if err != nil {
		w.t.Fatal(err)
	}
	var envelope dsse.Envelope
	var s api.Evidence
	if err := json.Unmarshal(raw, &envelope); err != nil {
		w.t.Fatal(err)
	}
	body, err := envelope.DecodeB64Payload()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal(body, &s); err != nil {
		w.t.Fatal(err)
	}
	return s.Predicate
}

// TestANameMeansOneThing: what is kept under a name is not replaced by another
// content.
func TestANameMeansOneThing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		err := (&sequence{t: t, id: "d2", r: configured(0)}).run(r)
		if !isCode(err, api.CodeConflict) || !strings.Contains(err.Error(), "release 1 of prod is another one") {
			t.Errorf("other content under the name of the current release: %v", err)
		}
		w.assertRelease(r, 1, first)
		for _, revision := range []int{-1, mostRevisions + 1} {
			if err := (&sequence{t: t, id: "d2", r: configured(revision)}).run(r); !isCode(err, api.CodeBadRequest) {
				t.Errorf("revision %d: %v", revision, err)
			}
		}
		if got, err := r.Revisions(t.Context(), 1); err != nil || !slices.Equal(got, []string{first.ContentHash()}) {
			t.Errorf("what came under the number: %q (%v)", got, err)
		}
	})
}

// TestFailedRevisionsAreKnown: a name that failed stays that content's own, and
// what it wrote is found under it.
func TestFailedRevisionsAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		sick := configured(2) // as when another host has seen a 1.1
		sick.Images = map[string]api.Image{"web": {Name: "shop/web", Digest: digest(11)}, "db": first.Images["db"], "old": first.Images["old"]}
		w.sick[digest(11)] = true
		s := &sequence{t: t, id: "d2", r: sick, steps: roll("web/1", "web/2")}
		if err := s.run(r); !isCode(err, api.CodeUnhealthy) {
			t.Fatalf("a sick one: %v", err)
		}
		if _, err := r.Revert(t.Context(), "d2", api.Revert{Fence: s.fence}, nil); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Revisions(t.Context(), 1); err != nil || !slices.Equal(got, []string{first.ContentHash(), "", sick.ContentHash()}) {
			t.Errorf("what came under number 1: %q (%v)", got, err)
		}
		if got, err := r.Revisions(t.Context(), 2); err != nil || len(got) != 0 {
			t.Errorf("what came under number 2: %q (%v)", got, err)
		}
		if _, err := r.ReleaseLogs(t.Context(), sick.ReleaseNumber(), "web", 0, nil); err != nil {
			t.Errorf("what 1.2 wrote: %v", err)
		}
		if _, err := r.ReleaseLogs(t.Context(), numberOne, "web", 0, nil); !isCode(err, api.CodeNotFound) {
			t.Errorf("what 1 wrote, which runs: %v", err)
		}
		for _, c := range w.containers {
			if label := c.Spec.Labels[runtime.LabelRelease]; label != "1" {
				t.Errorf("container %s of release %s is left", c.Spec.Name, label)
			}
		}
	})
}

func TestApprovalsAreForOneContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		yes := func(revision int, content string) {
			t.Helper()
			n := api.ReleaseNumber{Number: 2, Revision: revision}
			got, err := r.Approve(t.Context(), api.Approve{ReleaseRef: api.RefTo(n), Content: content})
			if err != nil || got.ReleaseNumber() != n || got.Content != content || got.By.User != "mira" {
				t.Errorf("approving %s: %+v (%v)", n, got, err)
			}
		}
		yes(0, "sha256:aa")
		yes(1, "sha256:bb")
		yes(0, "sha256:aa") // again
		yes(0, "sha256:cc") // the file was changed
		env, err := r.Get(t.Context())
		var got []string
		for _, a := range env.Approvals {
			got = append(got, a.ReleaseNumber().String()+" "+a.Content)
		}
		if want := []string{"2.1 sha256:bb", "2 sha256:cc"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("approvals are %q (%v), want %q", got, err, want)
		}
	})
}

func TestOldestLogsGoFirst(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"42.10", "42", "9", "42.2", "43"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := dropOldest(root, 3); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 3 || entries[0].Name() != "42.10" || entries[1].Name() != "42.2" || entries[2].Name() != "43" {
		t.Errorf("left: %v (%v), want 42.2, 42.10 and 43", entries, err)
	}
}
