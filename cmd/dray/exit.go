package main

import (
	"errors"

	"dray/pipeline/event"
)

// Exit codes; stable, documented in the README.
const (
	exitDone        = 0
	exitFailed      = 1 // nothing changed
	exitDifferent   = 2 // plan: there is a difference
	exitReverted    = 3
	exitNotReverted = 4 // or held, as the file says
	exitRefused     = 5
	exitInterrupted = 130
)

// errInterrupted is the cause of a context that Ctrl-C cancelled.
var errInterrupted = errors.New("interrupted")

// exitError ends the program with a code; its failure was shown already, or is
// shown as it is.
type exitError struct {
	code    int
	failure event.Event
}

func (e *exitError) Error() string { return e.failure.Text }

func asError[T error](err error, target *T) bool { return errors.As(err, target) }
