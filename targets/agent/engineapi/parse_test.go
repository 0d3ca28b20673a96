package engineapi

import (
	"testing"
	"time"
)

func TestParseMoment(t *testing.T) {
	for text, want := range map[string]time.Time{
		"":                          {},
		"0":                         {},
		"1700000000":                time.Unix(1700000000, 0),
		"1700000000.5":              time.Unix(1700000000, 500000000),
		"1700000000.000000001":      time.Unix(1700000000, 1),
		"2023-11-14T22:13:20Z":      time.Unix(1700000000, 0),
		"2023-11-14T23:13:20+01:00": time.Unix(1700000000, 0),
	} {
		if got, err := parseMoment(text); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"x", "1.2.3", "1.-5", "1.0000000001", "yesterday"} {
		if got, err := parseMoment(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string][2]string{
		"busybox":                       {"busybox", ""},
		"busybox:1":                     {"busybox", "1"},
		"docker.io/library/busybox:1":   {"busybox", "1"},
		"host:5000/shop/web":            {"host:5000/shop/web", ""},
		"host:5000/shop/web:v2":         {"host:5000/shop/web", "v2"},
		"shop/web:v2@sha256:1234567890": {"shop/web", "v2"},
	} {
		if repository, tag := splitName(familiar(name)); repository != want[0] || tag != want[1] {
			t.Errorf("%s: %q %q, want %q", name, repository, tag, want)
		}
	}
}

func FuzzParseFilters(f *testing.F) {
	f.Add(`{"label":["a=b"]}`)
	f.Add(`{"label":{"a=b":true,"c":false}}`)
	f.Fuzz(func(t *testing.T, text string) {
		found, err := parseFilters(text, "label")
		if err == nil {
			found.labels(map[string]string{"a": "b"})
		}
	})
}

func FuzzParseMoment(f *testing.F) {
	f.Add("1700000000.5")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := parseMoment(text); err != nil && !m.IsZero() {
			t.Error("a time beside an error")
		}
	})
}
