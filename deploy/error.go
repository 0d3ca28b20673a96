package deploy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"dray/pipeline"
	"dray/targets/api"
)

// Outcome says in what state a failed deployment left the environment.
type Outcome int

// Outcomes.
const (
	Unchanged   Outcome = iota // nothing has changed
	Reverted                   // every host went back
	NotReverted                // the hosts in Error.Stuck did not go back
	Paused                     // it stays as it is, on request (Error.Pause); hosts in Error.Stuck could not be told, and go back by themselves
	InDoubt                    // the hosts in Error.Stuck were not heard to confirm what all had agreed on; the others have
	Refused                    // somebody else holds the lease, a freeze is on, or nobody can be asked for a yes; nothing has changed
)

// Error is why a deployment failed, and what is true now.
type Error struct {
	Outcome Outcome
	Cause   error
	Stuck   []string // hosts that could not be brought back
	Logs    []string // the last lines of the container that failed
	Partial bool     // something of the new release had served before it went back

	DeclaredAt pipeline.Pos // where the file declares the port or the volume that the failure is about
	Pause      *PauseState  // what a deployment that is paused came to

	Environment string
	Hosts       []string               // those that took part
	Release     pipeline.ReleaseNumber // what was on its way; of none: it had no number yet
	From        pipeline.ReleaseNumber // what ran before
}

func (e *Error) Error() string { return e.Cause.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// PlacementError is a release whose instances can't go onto the hosts that there
// are. Nothing has changed.
type PlacementError struct {
	Environment string
	Release     pipeline.ReleaseNumber
	Reasons     []string
}

// Hint says what brings it there.
func (e *PlacementError) Hint() pipeline.Hint {
	return pipeline.Hint{
		Class: pipeline.Refused, Conclusion: "Nothing was changed.",
		Next: "put those hosts back into " + e.Environment + ", or go back to another release: dray history " + e.Environment,
	}
}

func (e *PlacementError) Error() string {
	return fmt.Sprintf("%s can't go onto the hosts of %s: %s", e.Release.Name(), e.Environment, strings.Join(e.Reasons, "; "))
}

// HostError is a failure on one host.
type HostError struct {
	Host string
	Err  error
}

func (e *HostError) Error() string {
	text := e.Err.Error()
	if strings.HasPrefix(text, e.Host+" ") || strings.HasPrefix(text, e.Host+": ") || strings.Contains(text, " on "+e.Host+" ") || strings.Contains(text, " on "+e.Host+":") {
		return text // it says so itself
	}
	return e.Host + ": " + text
}

// Unwrap returns the failure itself.
func (e *HostError) Unwrap() error { return e.Err }

// joinHosts makes one error of what failed on several hosts, sorted by host.
func joinHosts(failed map[string]error) error {
	var names []string
	for name := range failed {
		names = append(names, name)
	}
	slices.Sort(names)
	var errs []error
	for _, name := range names {
		errs = append(errs, &HostError{Host: name, Err: failed[name]})
	}
	return errors.Join(errs...)
}

// FailedHosts lists the hosts that err speaks of.
func FailedHosts(err error) []string {
	var out []string
	for _, h := range hostErrors(err) {
		out = append(out, h.Host)
	}
	return out
}

// allForbidden tells whether every host that err speaks of has refused the call for
// its connection's role, before anything changed there.
func allForbidden(err error) bool {
	failed := hostErrors(err)
	return len(failed) > 0 && !slices.ContainsFunc(failed, func(e *HostError) bool { return !isCode(e.Err, api.CodeForbidden) })
}

// hostErrors lists what err says of single hosts.
func hostErrors(err error) []*HostError {
	var out []*HostError
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) { //nolint:errorlint // the walk unwraps by itself, also what wraps several
		case nil:
		case *HostError:
			out = append(out, e)
		case interface{ Unwrap() []error }:
			for _, e := range e.Unwrap() {
				walk(e)
			}
		default:
			walk(errors.Unwrap(err))
		}
	}
	walk(err)
	return out
}

// newError wraps cause with what the agents told about it.
func newError(outcome Outcome, cause error) *Error {
	e := &Error{Outcome: outcome, Cause: cause}
	var refused *api.Error
	if errors.As(cause, &refused) {
		e.Logs = refused.Logs
		if (refused.Code == api.CodeLocked || refused.Code == api.CodeForbidden) && outcome == Unchanged {
			e.Outcome = Refused
		}
	}
	return e
}
