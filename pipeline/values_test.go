package pipeline

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "1048576": 1 << 20, "256MiB": 256 << 20, "256mib": 256 << 20, "512m": 512 << 20, "512M": 512 << 20,
		"64mb": 64 << 20, "1.5GB": 3 << 29, "1g": 1 << 30, "2 KiB": 2048, " 1kb ": 1024, "1TiB": 1 << 40, "7b": 7,
	} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "nan", "NaN", "inf", "-inf", "Infinity", "-1", "+1", "1e9", "0x10", "1_000", "1..5m", ".5g", "256 megs", "m", "1 2",
		"99999999999999999999", "9223372036854775807", "8388608T", "9999999999P",
	} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

// An empty entrypoint or command replaces the image's by none, on hosts too.
func TestAnEmptyCommandIsKept(t *testing.T) {
	for _, v := range []any{
		Service{Entrypoint: []string{}, Command: []string{}},
		Task{Entrypoint: []string{}, Command: []string{}},
	} {
		text, err := json.Marshal(v)
		if err != nil || !strings.Contains(string(text), `"entrypoint":[],"command":[]`) {
			t.Errorf("%s, %v", text, err)
		}
	}
	text, err := json.Marshal(Service{})
	if err != nil || strings.Contains(string(text), "command") {
		t.Errorf("%s, %v", text, err)
	}
	var back Service
	if err := json.Unmarshal([]byte(`{"entrypoint":[]}`), &back); err != nil || back.Entrypoint == nil || back.Command != nil {
		t.Errorf("read back %#v, %v", back, err)
	}
}
