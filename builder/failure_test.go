package builder

import (
	"errors"
	"testing"

	"dray/pipeline"
)

func TestFailure(t *testing.T) {
	cause := errors.New("cause")
	f := &Failure{
		Target: "web", At: pipeline.Pos{File: "app/Dockerfile", Line: 3}, Reason: "the command failed with exit code 2", Err: cause,
		Source: []SourceLine{{2, "COPY . .", false}, {3, "RUN make", true}},
		Output: []string{"main.c:1: error"},
	}
	if got, want := f.Error(), "building web: app/Dockerfile:3: the command failed with exit code 2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want := "     2 │ COPY . .\n>    3 │ RUN make\nIts last lines:\n  main.c:1: error"
	if got := f.Detail(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !errors.Is(f, cause) {
		t.Error("the cause is lost")
	}
	if got, want := (&Failure{Target: "web", Reason: "x"}).Error(), "building web: x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
