package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

var (
	chaos    = flag.Bool("chaos", false, "make random trials")
	seed     = flag.String("seed", "", "of the random trials; empty: one that is made up and printed")
	duration = flag.Duration("for", 5*time.Minute, "how long random trials go on")
)

// TestChaos makes random trials. The same seed gives the same ones, in the
// same order.
func TestChaos(t *testing.T) {
	if !*chaos {
		t.Skip("it goes on for minutes: make chaos, or -args -chaos")
	}
	n := uint64(time.Now().UnixNano())
	if *seed != "" {
		var err error
		if n, err = strconv.ParseUint(*seed, 10, 64); err != nil {
			t.Fatalf("the seed is a number: %v", err)
		}
	}
	fmt.Printf("SEED=%d repeats this\n", n)
	random := rand.New(rand.NewPCG(n, 0))
	f := newField(t)
	for env := range hostsOf {
		f.settled(t, env, 1)
	}
	list, made := trials(), 0
	for end := time.Now().Add(*duration); time.Now().Before(end); {
		tr := list[random.IntN(len(list))]
		ok := t.Run(tr.String(), func(t *testing.T) {
			o := f.try(t, tr)
			if o.skipped == "" {
				made++
				fmt.Printf("%-70s %s\n", tr, o)
			}
		})
		if !ok && !f.repair(t, tr.env) {
			break
		}
	}
	t.Logf("SEED=%d: %d points tried", n, made)
}
