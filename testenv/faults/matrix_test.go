package faults

import (
	"flag"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"
)

var (
	all     = flag.Bool("all", false, "make every trial, not only the representative ones")
	shards  = flag.Int("shards", 2, "labs that work side by side")
	repeat  = flag.Int("repeat", 1, "make each trial as many times")
	explain = flag.Bool("explain", false, "show what helps to understand each trial, not only those that failed")
	match   = flag.String("match", "", "make only trials whose name matches, as in deploy/three/verify/client_killed")
)

// representative are trials that between them have every point and every
// fault, on one host and on three.
var representative = []string{
	"deploy/three/lease_taken/client_killed",
	"deploy/one/preparing/agent_killed",
	"deploy/three/preparing/network_cut",
	"deploy/one/made/disk_full",
	"deploy/one/prepared/client_killed",
	"deploy/three/committing/old_shim_killed",
	"deploy/three/batch_1_started/host_rebooted",
	"rollback/one/batch_1_switching/agent_killed",
	"deploy/one/batch_1_switched/client_killed",
	"rollback/three/batch_1_switched/network_cut_for_a_second",
	"promote/three/batch_2_started/client_interrupted",
	"deploy/one/batch_2_switching/new_shim_killed",
	"promote/one/committed/blob_corrupted",
	"deploy/three/verify/client_killed",
	"deploy/three/confirming/agent_killed",
	"rollback/three/between_confirms/client_killed",
	"deploy/three/between_confirms/host_stopped",
	"deploy/one/batch_1_started/rules_flushed",
	"deploy/one/committing/agent_restarted",
	"deploy/one/batch_2_switching/host_shut_down",
	"deploy/one/batch_1_switched/process_stuck",
	"deploy/one/prepared/state_unreadable",
	"deploy/one/batch_2_started/record_broken",
	"deploy/one/confirmed/agent_killed",
	"deploy/one/releasing/client_killed",
}

// trials lists all that are possible.
func trials() []trial {
	var out []trial
	for _, env := range []string{"one", "three"} {
		for _, verb := range []string{deploy, promote, rollback} {
			for _, p := range points {
				for _, f := range faults {
					if tr := (trial{verb, env, p, f}); f.name != "nothing" && tr.possible() {
						out = append(out, tr)
					}
				}
			}
		}
	}
	return out
}

// chosen are the trials that the flags ask for.
func chosen(t *testing.T) []trial {
	t.Helper()
	pattern, err := regexp.Compile(*match)
	if err != nil {
		t.Fatal(err)
	}
	some := map[string]bool{}
	for _, name := range representative {
		some[name] = true
	}
	var out []trial
	for _, tr := range trials() {
		name := tr.String()
		if (*all || *match != "" || some[name]) && pattern.MatchString(name) {
			for range *repeat {
				out = append(out, tr)
			}
		}
		delete(some, name)
	}
	for name := range some {
		t.Errorf("there is no trial %s", name)
	}
	return out
}

// tally counts trials. Labs that work side by side share one.
type tally struct {
	mu                     sync.Mutex
	combined, unfinished   int
	tried, leftOut, failed int
}

func (c *tally) add(o outcome, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unfinished--
	switch {
	case failed:
		c.failed++
		c.tried++
	case o.skipped != "":
		c.leftOut++
	default:
		c.tried++
	}
}

func (c *tally) String() string {
	text := fmt.Sprintf("%d combinations of a verb, a point and a fault: %d tried, %d left out because there was nothing to do that to, %d failed",
		c.combined, c.tried, c.leftOut, c.failed)
	if c.unfinished > 0 {
		text += fmt.Sprintf(", %d not come to", c.unfinished)
	}
	return text
}

// TestFaults makes the trials, and prints what each came to and how many there
// were. Labs take them from one list.
func TestFaults(t *testing.T) {
	list := chosen(t)
	waiting := make(chan trial, len(list))
	for _, tr := range list {
		waiting <- tr
	}
	close(waiting)
	count := &tally{combined: len(list), unfinished: len(list)}
	began := time.Now()
	var labs sync.WaitGroup
	for n := range *shards {
		labs.Go(func() {
			t.Run(fmt.Sprint("lab ", n+1), func(t *testing.T) { work(t, waiting, count) })
		})
	}
	labs.Wait()
	fmt.Printf("%s; in %s, %d labs\n", count, time.Since(began).Round(time.Second), *shards)
	if count.unfinished > 0 {
		t.Errorf("%d combinations were not come to", count.unfinished)
	}
}

// work makes a lab and tries there what waits, until nothing does.
func work(t *testing.T, waiting <-chan trial, count *tally) {
	f := newField(t)
	for env := range hostsOf {
		f.settled(t, env, 1)
	}
	for tr := range waiting {
		var o outcome
		ok := t.Run(tr.String(), func(t *testing.T) { o = f.try(t, tr) })
		count.add(o, !ok)
		line := fmt.Sprintf("%-70s %s", tr, o)
		if !ok {
			line += "  FAILED"
		}
		fmt.Println(line)
		if !ok && !f.repair(t, tr.env) {
			t.Fatal("the environment can't be brought back")
		}
	}
}

// repair brings an environment back after a trial that failed, so that the
// next one begins from what works.
func (f *field) repair(t *testing.T, env string) bool {
	for _, name := range hostsOf[env] {
		h := f.Lab.Host(name)
		_ = h.Restore() // it may not be cut
		if !h.Running() {
			if err := h.Start(t.Context()); err != nil {
				t.Error(err)
			}
		}
		_ = h.FreeDisk() // it may not be full
		remove(t, inside(h, "run/dray/failpoint"))
		remove(t, inside(h, "run/dray/failpoint.reached"))
	}
	remove(t, f.Project+"/hold")
	for range 3 {
		if r := f.Run(t.Context(), append([]string{deploy, env}, vars(f.next())...)...); r.Code == 0 {
			return true
		} else {
			t.Logf("bringing %s back: %s", env, r)
		}
	}
	return false
}
