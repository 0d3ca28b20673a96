package runtime

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		places := cap(g.places)
		if places < 2 {
			t.Fatalf("there are %d places", places)
		}
		entered := 0
		var leaves []func()
		for range places {
			leave, err := g.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		// The one that is too many waits, until its time is over or a place is free.
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.enter(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a full gate lets in: %v", err)
		}
		go func() {
			if leave, err := g.enter(t.Context()); err == nil {
				entered++
				leave()
			}
		}()
		synctest.Wait()
		if entered != 0 {
			t.Error("a full gate let one in")
		}
		leaves[0]()
		synctest.Wait()
		if entered != 1 {
			t.Error("a free place was not taken")
		}
		// Those that hang lose their places, and leaving late takes nobody else's.
		time.Sleep(2 * slowStart)
		for range places {
			if _, err := g.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, leave := range leaves {
			leave()
		}
		if len(g.places) != places {
			t.Errorf("%d of %d places are held", len(g.places), places)
		}
		time.Sleep(2 * slowStart) // the timers end with the test
	})
}
