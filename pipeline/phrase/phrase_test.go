package phrase_test

import (
	"testing"

	"dray/pipeline/phrase"
)

func TestFigures(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 182_400: "182 kB", 999_999: "1 MB", 1_500_000: "1.5 MB", 2_340_000_000: "2.34 GB"} {
		if got := phrase.Size(n); got != want {
			t.Errorf("Size(%d) is %q, want %q", n, got, want)
		}
	}
	for s, want := range map[float64]string{0: "0.0s", 1.26: "1.3s", 89.9: "89.9s", 90: "1m30s", 3700: "61m40s"} {
		if got := phrase.Seconds(s); got != want {
			t.Errorf("Seconds(%v) is %q, want %q", s, got, want)
		}
	}
	for d, want := range map[string]string{"": "", "sha256:7d1c0f6e2b9a4c": "7d1c0f6e2b9a", "sha256:7d": "7d"} {
		if got := phrase.Digest(d); got != want {
			t.Errorf("Digest(%q) is %q, want %q", d, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		phrase.Count(1, "host") + ", " + phrase.Count(0, "host"):   "1 host, 0 hosts",
		phrase.List([]string{"a", "b", "c"}):                       "a, b and c",
		phrase.List([]string{"a"}) + phrase.List(nil):              "a",
		phrase.Words("", "a", "", "b"):                             "a b",
		phrase.Capital("über") + phrase.Capital(""):                "Über",
		phrase.Because("failed", "x") + phrase.Because(", ok", ""): "failed: x, ok",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"dev", "test", "prod-eu"}
	for name, want := range map[string]string{
		"dve": "dev", "tst": "test", "Test": "test", "prod": "prod-eu", "prod-ue": "prod-eu", "elsewhere": "", "": "", "x": "", "dev": "",
	} {
		if got := phrase.Nearest(name, names); got != want {
			t.Errorf("Nearest(%q) is %q, want %q", name, got, want)
		}
	}
	if got := phrase.DidYouMean("tset", names); got != ` Did you mean "test"?` {
		t.Error(got)
	}
}
