package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"dray/cmd/internal/settings"
)

func TestPointInTime(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                     {},
		"10m":                  now.Add(-10 * time.Minute),
		"1h30m":                now.Add(-90 * time.Minute),
		"09:15":                time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC),
		"09:15:20":             time.Date(2026, 11, 22, 9, 15, 20, 0, time.UTC),
		"2026-11-20":           time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC),
		"2026-11-20 09:15":     time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC),
		"2026-11-20T09:15:20Z": time.Date(2026, 11, 20, 9, 15, 20, 0, time.UTC),
	} {
		if got, err := pointInTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "10", "25:00", "22.11.2026"} {
		if got, err := pointInTime(text, now); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

// TestSettingsAreDocumented: docs/OPERATING.md has a row for each setting that
// help shows, with its variable, and each exit code.
func TestSettingsAreDocumented(t *testing.T) {
	src, err := os.ReadFile("../../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(src)
	flags := newRoot(&app{viper: settings.NewReader()}).PersistentFlags()
	for _, name := range settings.Names() {
		if f := flags.Lookup(name); f != nil && f.Hidden {
			continue
		}
		variable := "DRAY_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if !strings.Contains(text, "| `"+name+"` | `"+variable+"`") {
			t.Errorf("docs/OPERATING.md has no row for %s and %s", name, variable)
		}
	}
	for _, code := range []int{exitDone, exitFailed, exitDifferent, exitReverted, exitNotReverted, exitRefused, exitInterrupted} {
		if !strings.Contains(text, "\n| "+strconv.Itoa(code)+" |") {
			t.Errorf("docs/OPERATING.md has no row for exit code %d", code)
		}
	}
}
