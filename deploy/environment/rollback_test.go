package environment

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"dray/deploy"
	"dray/pipeline"
)

func web(level string, count int) pipeline.Service {
	return pipeline.Service{
		Name: "web", Count: count, Mode: pipeline.ModeReplicated, Env: map[string]string{"LEVEL": level},
		Update: pipeline.Update{Strategy: pipeline.StrategyRolling, MaxParallel: 1, AutoRevert: true},
	}
}

func database(count int) pipeline.Service {
	s := web("", count)
	s.Name, s.Env, s.Volumes = "db", nil, []pipeline.Volume{{Name: "data", Destination: "/data"}}
	return s
}

// rollback brings the kept release of that number back, as pipeline/run does.
func (w *world) rollback(t *testing.T, number string) (*pipeline.Deployed, error) {
	t.Helper()
	e := w.open(t)
	kept, err := e.Releases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(kept, func(k pipeline.Kept) bool { return k.ReleaseNumber().String() == number })
	if i < 0 {
		t.Fatalf("release %s is not kept among %d", number, len(kept))
	}
	return e.Deploy(t.Context(), pipeline.Deployment{Kind: pipeline.KindRollback, Release: kept[i].Release, Origin: "prod"})
}

// TestRollbackOverTodaysHosts: an older release comes whole onto the hosts that
// the environment has now, whichever those were when it was made.
func TestRollbackOverTodaysHosts(t *testing.T) {
	for name, c := range map[string]struct {
		then, now   []string
		first, last []pipeline.Service
		want        map[string][]string // where instances are after the rollback
		named       string
	}{
		"nothing changed": {
			[]string{"p1", "p2"}, []string{"p1", "p2"}, []pipeline.Service{web("a", 2)}, []pipeline.Service{web("b", 2)},
			map[string][]string{"p1": {"web/1"}, "p2": {"web/2"}}, "1",
		},
		"a host is gone": {
			[]string{"p1", "p2"}, []string{"p1"}, []pipeline.Service{web("a", 2)}, []pipeline.Service{web("b", 2)},
			map[string][]string{"p1": {"web/1", "web/2"}}, "1.1",
		},
		"a host was added": {
			[]string{"p1"}, []string{"p1", "p2"}, []pipeline.Service{web("a", 2)}, []pipeline.Service{web("b", 2)},
			map[string][]string{"p1": {"web/1"}, "p2": {"web/2"}}, "1.1",
		},
		"a host was added that gets no instance": {
			[]string{"p1"}, []string{"p1", "p2"}, []pipeline.Service{web("a", 1)}, []pipeline.Service{web("b", 1)},
			map[string][]string{"p1": {"web/1"}, "p2": {}}, "1",
		},
		"a host was replaced": {
			[]string{"p1", "p2"}, []string{"p1", "p3"}, []pipeline.Service{web("a", 2)}, []pipeline.Service{web("b", 2)},
			map[string][]string{"p1": {"web/1"}, "p3": {"web/2"}}, "1.1",
		},
		"it had more instances": {
			[]string{"p1", "p2"}, []string{"p1", "p2"}, []pipeline.Service{web("a", 4)}, []pipeline.Service{web("a", 1)},
			map[string][]string{"p1": {"web/1", "web/3"}, "p2": {"web/2", "web/4"}}, "1",
		},
		"data stays where it is now": {
			[]string{"p1", "p2"}, []string{"p2"}, []pipeline.Service{database(1), web("a", 1)}, []pipeline.Service{database(1), web("b", 1)},
			map[string][]string{"p2": {"db/1", "web/1"}}, "1.1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "p1", "p2", "p3")
			w.on(c.then...)
			w.deploy(t, c.first...)
			w.on(c.now...)
			w.deploy(t, c.last...)
			done, err := w.rollback(t, "1")
			if err != nil {
				t.Fatal(err)
			}
			if !maps.EqualFunc(done.Release.Placement, c.want, slices.Equal) || done.Release.ReleaseNumber().String() != c.named {
				t.Errorf("release %s is in %v; want %s in %v", done.Release.ReleaseNumber(), done.Release.Placement, c.named, c.want)
			}
			for _, host := range c.now {
				if got := w.hosts[host].env.Current; got.ReleaseNumber() != done.Release.ReleaseNumber() || got.Services[len(got.Services)-1].Env["LEVEL"] != "a" {
					t.Errorf("%s runs %+v", host, got)
				}
			}
		})
	}
}

// TestRollbackThatCantBePlaced: where an instance's data has left with its host
// the release is refused, and no host has heard of it.
func TestRollbackThatCantBePlaced(t *testing.T) {
	w := newWorld(t, "p1", "p2")
	w.on("p2")
	w.deploy(t, database(1), web("a", 1))
	w.on("p1", "p2")
	w.deploy(t, web("b", 1))
	w.on("p1")
	w.deploy(t, web("b", 1))
	w.hosts["p1"].kept = append(w.hosts["p1"].kept, w.hosts["p2"].kept[len(w.hosts["p2"].kept)-1]) // it was brought to p1, too
	before := len(w.hosts["p1"].prepares)
	_, err := w.rollback(t, "1")
	var failed *deploy.Error
	if !errors.As(err, &failed) || failed.Outcome != deploy.Refused || !strings.Contains(err.Error(), "db/1 has its data on p2, which is no host of it any more") {
		t.Errorf("got %v", err)
	}
	if len(w.hosts["p1"].prepares) != before {
		t.Error("it was prepared")
	}
}

// TestKeptTogether: a release is kept when some host keeps it, and none keeps
// another one under its name.
func TestKeptTogether(t *testing.T) {
	r := func(number int, level string) pipeline.Release {
		return pipeline.Release{Number: number, Services: []pipeline.Service{web(level, 1)}}
	}
	kept := together(map[string][]pipeline.Release{
		"p1": {r(43, "c"), r(42, "b"), r(41, "a")},
		"p2": {r(43, "c"), r(42, "other")},
		"p3": nil,
	})
	var got []string
	for _, k := range kept {
		got = append(got, k.ReleaseNumber().String()+" but not on "+strings.Join(k.Lacking, " "))
	}
	if want := []string{"43 but not on p3", "41 but not on p2 p3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
