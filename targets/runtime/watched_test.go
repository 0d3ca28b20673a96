package runtime_test

import (
	"testing"
	"time"

	"dray/targets/runtime"
)

// TestALateWatcherEndsNothing has the watcher of an earlier shim come late, when
// the container has a new process with a shim of its own.
func TestALateWatcherEndsNothing(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("again", "sleep 600"))
	earlier := c.Pid
	grace := time.Duration(0)
	if err := h.Restart(t.Context(), c.ID, &grace); err != nil {
		t.Fatal(err)
	}
	now, err := h.Get(c.ID)
	if err != nil || now.Pid == earlier {
		t.Fatalf("after the restart: %+v, %v", now, err)
	}
	h.NoticeEnd(t.Context(), c.ID, earlier)
	if got, err := h.Get(c.ID); err != nil || got.State != runtime.Running || !alive(now.Pid) {
		t.Errorf("the new process was taken for the old one's: %+v, %v", got, err)
	}
}
