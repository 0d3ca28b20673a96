package acceptance

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"dray/testenv"
	"dray/testenv/world"
)

// answering asks a port of a host once, now: it answers, or it refuses.
func answering(t *testing.T, w *world.World, port int, want bool) {
	t.Helper()
	_, err := get(fmt.Sprintf("http://%s:%d/up", w.Lab.Host("p1").Addr, port))
	if want && err != nil {
		t.Errorf("port %d: %v", port, err)
	}
	if !want && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("port %d: %v, want a refusal", port, err)
	}
}

// TestDoneIsDone changes what needs no new container: what a deployment says is
// done is so when it returns, with the same containers.
func TestDoneIsDone(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1"}})
	w.App(t, "prod: p1")
	w.Replace(t, "dray.hcl", "publish = 80", "publish = 9001")
	w.Dray(t, 0, "deploy", "prod")
	before := drained(t, w, 2)
	deploy := func(old, with string, args ...string) {
		t.Helper()
		w.Replace(t, "dray.hcl", old, with)
		if r := w.Dray(t, 0, append([]string{"deploy", "prod"}, args...)...); strings.Contains(r.Stdout+r.Stderr, "warning") {
			t.Errorf("it warns: %s", r)
		}
	}
	deploy("publish = 9001", "publish = 9002")
	answering(t, w, 9002, true)
	answering(t, w, 9001, false)
	deploy("publish = 9002", "publish = 9003")
	w.Dray(t, 0, "rollback", "prod")
	answering(t, w, 9002, true)
	answering(t, w, 9003, false)
	deploy("publish = 9003", "publish = 9001")
	answering(t, w, 9001, true)
	answering(t, w, 9002, false)
	deploy("    publish = 9001\n", "")
	answering(t, w, 9001, false)
	deploy("to      = 8080", "to      = 8080\n    publish = 9004")
	answering(t, w, 9004, true)
	if now := containers(t, w); now != before {
		t.Errorf("containers were replaced:\n%s\nbefore:\n%s", now, before)
	}
	deploy(`service "web" {`, `service "front" {`) // the port goes with it
	answering(t, w, 9004, true)
	w.Dray(t, 0, "deploy", "prod", "--var", "count=0")
	answering(t, w, 9004, false)
	drained(t, w, 0)
	w.Dray(t, 0, "deploy", "prod", "--var", "count=1")
	answering(t, w, 9004, true)
}
