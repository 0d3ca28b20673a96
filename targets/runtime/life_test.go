package runtime_test

import (
	"strings"
	"testing"

	"dray/targets/runtime"
)

func TestRunAndExit(t *testing.T) {
	h := newHost(t)
	out, c := h.once(t, sh("one", "echo to out; echo to err >&2; exit 7"))
	if c.State != runtime.Exited || c.ExitCode != 7 || c.Pid != 0 || c.Finished.IsZero() {
		t.Errorf("got %+v", c)
	}
	if !strings.Contains(out, "to out\n") || !strings.Contains(out, "to err\n") {
		t.Errorf("log: %q", out)
	}
}
