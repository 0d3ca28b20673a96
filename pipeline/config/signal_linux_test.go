package config

import (
	"fmt"
	"slices"
	"testing"

	"github.com/moby/sys/signal"
)

// TestSignalsAreKnownToHosts looks that a host knows every name of a signal
// that a file may have: it would send SIGTERM for one that it does not know.
func TestSignalsAreKnownToHosts(t *testing.T) {
	names := slices.Clone(signals)
	for n := range 32 {
		names = append(names, fmt.Sprintf("SIGRTMIN+%d", n), fmt.Sprintf("SIGRTMAX-%d", n), fmt.Sprintf("SIGRTMIN+0%d", n))
	}
	accepted := 0
	for _, name := range append(names, "SIGRTMIN", "SIGRTMAX") {
		if !slices.Contains(signals, name) && !realTimeSignal(name) {
			continue
		}
		accepted++
		if _, err := signal.ParseSignal(name); err != nil {
			t.Errorf("%s is accepted here and not there: %v", name, err)
		}
	}
	if want := len(signals) + 31; accepted != want {
		t.Errorf("%d names are accepted, want %d", accepted, want)
	}
}
