package agent

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"go.etcd.io/bbolt"

	"dray/pipeline"
	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// TestOwnNames parts words of letters and "-" in all ways: no two pairs have
// one name.
func TestOwnNames(t *testing.T) {
	var words []string
	for _, a := range []string{"a", "-", "b"} {
		for _, b := range []string{"a", "-", "b"} {
			words = append(words, "x"+a+b, "x"+a, "x")
		}
	}
	slices.Sort(words)
	words = slices.Compact(words)
	seen := map[string][2]string{}
	for _, project := range words {
		for _, name := range words {
			pair, own := [2]string{project, name}, ownName(project, name)
			if other, taken := seen[own]; taken {
				t.Errorf("%v and %v are both %q", pair, other, own)
			}
			seen[own] = pair
		}
	}
}

// pairs are two environments whose joined names are one.
var pairs = [2][2]string{{"ab", "c-d"}, {"ab-c", "d"}}

// deployIn deploys one instance of web, with a volume, in an environment.
func deployIn(t *testing.T, r *running, number int, project, name string) {
	t.Helper()
	release := release(number, map[string]int{"web": 1}, "web/1")
	release.Project, release.Environment = project, name
	release.Services[0].Volumes = []pipeline.Volume{{Name: "data", Destination: "/data"}}
	in := &running{EnvironmentClient: r.client.Environment(project, name), agent: r.agent, client: r.client}
	s := &sequence{t: t, id: project + "." + name, r: release, steps: roll("web/1")}
	if err := s.run(in); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func downIn(t *testing.T, r *running, project, name string) {
	t.Helper()
	in := r.client.Environment(project, name)
	lease, err := in.AcquireLease(t.Context(), api.AcquireLease{TTL: 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Down(t.Context(), api.Down{Fence: lease.Fence, Volumes: true}, nil); err != nil {
		t.Fatal(err)
	}
	if err := in.ReleaseLease(t.Context(), lease.Fence); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// untouched looks that an environment runs, is routed, and has its data.
func (w *world) untouched(t *testing.T, r *running, project, name string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	network := r.agent.environmentOf(project, name).network()
	if route := w.routes[network+"/web"]; len(route.Backends) != 1 {
		t.Errorf("%s of %s: the kernel has %+v, want one container", name, project, route)
	}
	if !w.volumes[network+"/data"] {
		t.Errorf("%s of %s has lost its volume: %v", name, project, w.volumes)
	}
	runs := 0
	for _, c := range w.containers {
		if c.State == runtime.Running && c.Spec.Labels[runtime.LabelProject] == project && c.Spec.Network == network {
			runs++
		}
	}
	if runs != 1 {
		t.Errorf("%d containers of %s of %s run, want one", runs, name, project)
	}
}

// TestOneNameOfTwo has two environments on a host whose words, joined, are one:
// both run, and the end of one is not the other's, whether it ran here or not.
func TestOneNameOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		defer r.stop()
		deployIn(t, r, 1, pairs[0][0], pairs[0][1])
		downIn(t, r, pairs[1][0], pairs[1][1]) // which never ran here
		w.untouched(t, r, pairs[0][0], pairs[0][1])
		deployIn(t, r, 1, pairs[1][0], pairs[1][1])
		w.untouched(t, r, pairs[0][0], pairs[0][1])
		w.untouched(t, r, pairs[1][0], pairs[1][1])
		for _, dir := range []func(*environment) string{r.agent.taskLogs, r.agent.failedLogs} {
			for _, p := range pairs {
				if err := os.MkdirAll(dir(r.agent.environmentOf(p[0], p[1])), 0o700); err != nil {
					t.Fatal(err)
				}
			}
		}
		downIn(t, r, pairs[1][0], pairs[1][1])
		w.untouched(t, r, pairs[0][0], pairs[0][1])
		if _, err := os.Stat(r.agent.taskLogs(r.agent.environmentOf(pairs[0][0], pairs[0][1]))); err != nil {
			t.Errorf("the output of the other's tasks: %v", err)
		}
	})
}

// TestNamesOfAnOlderAgent starts on a host that an older agent laid out: what
// it kept under the joined name goes on under it, and nothing new is.
func TestNamesOfAnOlderAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		layOut(t, w, map[string]journal.Environment{
			"ab/c-d": {Project: "ab", Name: "c-d", LastNumber: 3, Fence: 7},
			"ab-c/d": {Project: "ab-c", Name: "d", Fence: 1}, // somebody asked to take it down
		})
		for range 2 { // the second start finds it done
			r := w.boot(0)
			for key, want := range map[[2]string]string{
				{"ab", "c-d"}: "ab-c-d", {"ab-c", "d"}: "ab-c~d", {"a", "b-c-d"}: "a~b-c-d", {"shop", "prod"}: "shop-prod",
			} {
				if got := r.agent.environmentOf(key[0], key[1]).network(); got != want {
					t.Errorf("%v is kept as %s, want %s", key, got, want)
				}
			}
			r.stop()
		}
		r := w.boot(0)
		defer r.stop()
		deployIn(t, r, 4, "ab", "c-d")
		downIn(t, r, "ab-c", "d")
		w.untouched(t, r, "ab", "c-d")
	})
}

// layOut writes a journal with these environments as an older agent did.
func layOut(t *testing.T, w *world, records map[string]journal.Environment) {
	t.Helper()
	a, err := New(Config{State: w.dir, Log: slog.New(slog.DiscardHandler), Parts: w.parts()})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(w.dir, "agent.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for key, r := range records {
			text, err := json.Marshal(r)
			if err != nil {
				return err
			}
			if err := tx.Bucket([]byte("environments")).Put([]byte(key), text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestABrokenRecordIsAlone starts over a journal in which one environment's
// record can't be read: the others work, and it is told.
func TestABrokenRecordIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		layOut(t, w, map[string]journal.Environment{"ab/c-d": {Project: "ab", Name: "c-d", LastNumber: 3}})
		db, err := bbolt.Open(filepath.Join(w.dir, "agent.db"), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("environments")).Put([]byte("shop/broken"), []byte(`{"fence": "seven"}`))
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		w.reboot()
		r := w.boot(0)
		defer r.stop()
		w.assertRelease(r, 1, first)
		list, err := r.client.Environments(t.Context(), "shop")
		if err != nil || len(list) != 2 || list[0].Name != "broken" || len(list[0].Drift) != 1 {
			t.Errorf("the environments of shop: %+v, %v; want the broken one with its fault", list, err)
		}
		s := &sequence{t: t, id: "d2", r: second, steps: forward}
		if err := s.run(r); err != nil {
			t.Errorf("deploying beside it: %v", err)
		}
		if _, err := r.client.Environment("shop", "broken").AcquireLease(t.Context(), api.AcquireLease{TTL: 20}); err == nil {
			t.Error("the broken one took a lease")
		}
		if !w.images[digest(1)] {
			t.Error("an image was dropped though it is not known what the broken one needs")
		}
		if got := r.agent.environmentOf("ab", "c-d").network(); got != "ab-c-d" {
			t.Errorf("the one of an older agent is kept as %s", got)
		}
	})
}
