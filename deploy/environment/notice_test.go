package environment

import (
	"strings"
	"testing"

	"dray/pipeline"
	"dray/targets/api"
)

// TestLock: a lock is on all hosts or what it is on is said, nobody's is replaced
// unasked, and unlocking ends it.
func TestLock(t *testing.T) {
	w := newWorld(t, "p1", "p2")
	w.opener.Actor = pipeline.Actor{User: "mira"}
	text, err := w.opener.Lock(t.Context(), w.prod(), api.SetFreeze{Reason: "audit"})
	if err != nil || text != "prod takes no deployment until dray unlock prod: audit." {
		t.Fatalf("locking says %q, %v", text, err)
	}
	_, err = w.opener.Lock(t.Context(), w.prod(), api.SetFreeze{Reason: "tests"})
	hint := pipeline.HintOf(err)
	if err == nil || hint.Class != pipeline.Refused || hint.Next != `dray lock prod --reason "tests" --replace takes its place` {
		t.Errorf("locking what is locked: %v, next %q", err, hint.Next)
	}
	text, err = w.opener.Lock(t.Context(), w.prod(), api.SetFreeze{Reason: "tests", Replace: true})
	if err != nil || !strings.HasSuffix(text, "tests. It replaces mira's lock: audit.") {
		t.Errorf("replacing says %q, %v", text, err)
	}
	for _, want := range []string{"prod takes deployments again.", "prod was not locked."} {
		if text, err = w.opener.Unlock(t.Context(), w.prod()); err != nil || text != want {
			t.Errorf("unlocking says %q, %v; want %q", text, err, want)
		}
	}
}

// TestLockOfSomeHosts: a host that was never told lets deployments in.
func TestLockOfSomeHosts(t *testing.T) {
	w := newWorld(t, "p1", "p2")
	w.hosts["p2"].absent = true
	_, err := w.opener.Lock(t.Context(), w.prod(), api.SetFreeze{Reason: "audit"})
	hint := pipeline.HintOf(err)
	if err == nil || err.Error() != "prod is locked on p1 only: p2 could not be told" || hint.Conclusion != "A deployment that leaves out p1 gets in." {
		t.Errorf("got %v, %q", err, hint.Conclusion)
	}
	w.hosts["p1"].absent = true
	if _, err := w.opener.Lock(t.Context(), w.prod(), api.SetFreeze{Reason: "audit"}); err == nil || !strings.HasPrefix(err.Error(), "dray was never on a host of prod") {
		t.Errorf("without any host: %v", err)
	}
}
