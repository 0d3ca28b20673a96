package pipeline_test

import (
	"errors"
	"fmt"
	"testing"

	"dray/pipeline"
)

func TestHintOfTakesTheOutermost(t *testing.T) {
	inner := pipeline.WithHint(errors.New("no route"), pipeline.Hint{Next: "inner", Detail: "why", Class: pipeline.NotReverted})
	outer := pipeline.WithHint(fmt.Errorf("p1: %w", inner), pipeline.Hint{Next: "outer", Conclusion: "state", Class: pipeline.Refused})
	want := pipeline.Hint{Next: "outer", Detail: "why", Conclusion: "state", Class: pipeline.NotReverted}
	if got := pipeline.HintOf(fmt.Errorf("deploying: %w", outer)); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := outer.Error(); got != "p1: no route" {
		t.Errorf("text: %q", got)
	}
}

func TestHintOfLooksIntoJoinedErrors(t *testing.T) {
	second := pipeline.WithHint(errors.New("b"), pipeline.Hint{Next: "look at b", Environment: "prod"})
	got := pipeline.HintOf(errors.Join(errors.New("a"), second, pipeline.WithHint(errors.New("c"), pipeline.Hint{Next: "look at c"})))
	if got.Next != "look at b" || got.Environment != "prod" {
		t.Errorf("got %+v", got)
	}
	if got := pipeline.HintOf(nil); got != (pipeline.Hint{}) {
		t.Errorf("no error hints %+v", got)
	}
}
