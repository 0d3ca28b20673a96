package run

import (
	"os/exec"
	"testing"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
)

// TestVerifyLeavesAChild: a command that ended well has passed, also where a
// child of it goes on and holds its output.
func TestVerifyLeavesAChild(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Fatal(err)
	}
	r := &Runner{Project: &pipeline.Project{Dir: t.TempDir()}}
	v := pipeline.Verify{Name: "smoke", Command: []string{"sh", "-c", "sleep 60 & echo $! >pid; echo fine"}, Timeout: pipeline.Duration(time.Minute)}
	t.Cleanup(func() { _ = exec.Command("sh", "-c", "kill $(cat "+r.Project.Dir+"/pid)").Run() })
	r.outlive = 10 * time.Millisecond
	if err := r.verifyOne(t.Context(), v, nil, event.Discard); err != nil {
		t.Error(err)
	}
	v.Command = []string{"sh", "-c", "sleep 60 & echo $! >pid; exit 3"}
	if err := r.verifyOne(t.Context(), v, nil, event.Discard); err == nil {
		t.Error("a command that failed has passed")
	}
}
