package runtime

import (
	"testing"
)

// TestAnExecOfAContainerThatIsGoneEnds starts an Exec whose container was
// removed after it was looked up: it has ended, and can be forgotten.
func TestAnExecOfAContainerThatIsGoneEnds(t *testing.T) {
	x := &execution{
		value: Exec{ID: "x", ContainerID: "gone", Config: ExecConfig{Command: []string{"true"}}}, process: noProcess, done: make(chan struct{}),
	}
	e := &Engine{containers: map[string]*container{}, names: map[string]string{}, execs: map[string]*execution{"x": x}}
	if _, err := e.execStart(t.Context(), "x", Streams{}); err == nil {
		t.Fatal("it was started")
	}
	select {
	case <-x.done:
	default:
		t.Error("nobody is told that it has ended")
	}
	if got, err := e.ExecInspect("x"); err != nil || got.Running || got.Finished.IsZero() || got.Fault == "" {
		t.Errorf("it is %+v, %v; want it ended, with the reason", got, err)
	}
}
