package main

import (
	"cmp"
	"context"
	"errors"
	"os"

	"dray/cmd/internal/ui"
	"dray/pipeline"
	"dray/pipeline/event"
)

// explain turns an error into what the person sees, and the exit code. What is
// to be said beside the text, the errors say themselves (pipeline.Hinter).
func explain(err error) (event.Event, int) {
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.failure, exit.code
	}
	hint := pipeline.HintOf(err)
	var unknown *pipeline.UnknownError
	if errors.As(err, &unknown) {
		hint.Next = cmp.Or(ui.Corrected(os.Args, unknown), hint.Next)
	}
	code := exitOf(hint.Class)
	e := event.Event{
		Version: event.Version, Type: event.Failure, Text: cmp.Or(hint.Text, err.Error()), Detail: hint.Detail, Conclusion: hint.Conclusion, Next: hint.Next,
		Environment: hint.Environment, Release: hint.Release.Number, Revision: hint.Release.Revision,
	}
	// That hosts are left half changed matters more than why, and so does its next
	// step. Who interrupted what went back wholly gets 130, with the state told.
	if interrupted := errors.Is(err, errInterrupted); code != exitNotReverted && (interrupted || errors.Is(err, context.Canceled)) {
		code = exitInterrupted
		e.Next = ""
		if interrupted {
			e.Text, e.Detail = "interrupted", ""
		}
	}
	e.Code = code
	return e, code
}

// exitOf is the code of a failure's class.
func exitOf(class pipeline.Class) int {
	return map[pipeline.Class]int{
		pipeline.Failed: exitFailed, pipeline.Refused: exitRefused, pipeline.Reverted: exitReverted, pipeline.NotReverted: exitNotReverted,
	}[class]
}
