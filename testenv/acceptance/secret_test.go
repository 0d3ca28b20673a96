package acceptance

import (
	"strings"
	"testing"

	"dray/testenv"
	"dray/testenv/world"
)

// TestSecretOfACrash: a container that prints its secret and dies tells dray
// nothing that dray passes on, not to the terminal, not as JSON, not in what the
// host keeps of it. Its own log is its own.
func TestSecretOfACrash(t *testing.T) {
	const token = `hunter2 "and' more`
	w := world.New(t, testenv.Options{Hosts: []string{"p1"}})
	w.App(t, "prod: p1")
	w.Write(t, map[string]string{".dray/secrets.prod": "TOKEN=" + token + "\n"})
	w.Replace(t, "dray.hcl", "  check {", "  secret \"TOKEN\" { env = \"TOKEN\" }\n  check {")
	for _, args := range [][]string{
		{"deploy", "prod", "--var", "mode=leak"}, {"deploy", "prod", "--var", "mode=leak", "--json"},
	} {
		r := w.Dray(t, 3, args...)
		if shown := r.Stdout + r.Stderr; !strings.Contains(shown, "can't connect with [secret]") || leaksToken(shown) {
			t.Errorf("%q shows\n%s", args, shown)
		}
	}
	for _, args := range [][]string{{"status", "prod", "--json"}, {"history", "prod", "--json"}, {"ps", "prod", "--json"}} {
		if r := w.Dray(t, 0, args...); leaksToken(r.Stdout + r.Stderr) {
			t.Errorf("%q shows\n%s", args, r.Stdout+r.Stderr)
		}
	}
}

// leaksToken finds the token as the app printed it.
func leaksToken(shown string) bool {
	return strings.Contains(shown, "hunter2") || strings.Contains(shown, "aHVudGVyMiA")
}
