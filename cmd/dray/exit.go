package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"dray/builder"
	"dray/builder/registry"
	"dray/deploy"
	"dray/deploy/ssh"
	"dray/pipeline/event"
	"dray/pipeline/run"
	"dray/targets/api"
)

// Exit codes; stable, documented in the README.
const (
	exitDone        = 0
	exitFailed      = 1 // nothing changed
	exitDifferent   = 2 // plan: there is a difference
	exitReverted    = 3
	exitNotReverted = 4
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

// explain turns an error into what the person sees, and the exit code.
func explain(err error) (event.Event, int) {
	e := event.Event{Version: event.Version, Type: event.Failure, Text: err.Error()}
	code := exitFailed
	var exit *exitError
	var refusal *run.Refusal
	var failed *deploy.Error
	switch {
	case errors.As(err, &exit):
		return exit.failure, exit.code
	case errors.As(err, &refusal):
		code = exitRefused
		e.Environment, e.Release, e.Next = refusal.Environment, refusal.Release, refusal.Next
		e.Conclusion = refusal.Environment + " is untouched and runs " + releaseName(refusal.Runs) + "."
	case errors.As(err, &failed):
		code = explainDeploy(failed, &e)
	}
	explainKnown(err, &e)
	if errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) {
		code = exitInterrupted
	}
	e.Code = code
	return e, code
}

func explainDeploy(failed *deploy.Error, e *event.Event) int {
	e.Detail = indentLines(failed.Logs)
	var verify *run.VerifyError
	if errors.As(failed, &verify) {
		e.Detail = indentLines(verify.Output)
	}
	switch failed.Outcome {
	case deploy.Refused:
		e.Conclusion = "Nothing was changed."
		e.Next = "wait with --lock-wait 2m, or look: dray status"
		return exitRefused
	case deploy.Reverted:
		e.Conclusion = "Every host went back to the release before; nothing of the new one is left running."
		return exitReverted
	case deploy.NotReverted:
		e.Conclusion = strings.Join(failed.Stuck, ", ") + " did not go back; the agents go back by themselves when the lease has ended."
		e.Next = "dray status, then dray recover"
		return exitNotReverted
	}
	if e.Conclusion == "" {
		e.Conclusion = "Nothing was changed."
	}
	return exitFailed
}

// explainKnown adds what certain failures tell beside their text.
func explainKnown(err error, e *event.Event) {
	var refused *api.Error
	if errors.As(err, &refused) {
		if refused.Lease != nil {
			l := refused.Lease
			e.Text = fmt.Sprintf("%s is being changed by %s on %s (%s) since %s; their lease ends in %.0fs unless renewed.",
				orWord(e.Environment, "the environment"), l.Holder.User, l.Holder.Machine, l.Holder.Command, l.Since.Local().Format("15:04:05"), l.Seconds)
		}
		if refused.Code == api.CodeSpace && e.Next == "" {
			e.Next = "make room there; dray prune ENV drops what no release needs"
		}
		if refused.Detail != "" {
			e.Detail = join(refused.Detail, e.Detail)
		}
	}
	var dial *ssh.DialError
	if errors.As(err, &dial) && e.Next == "" {
		e.Next = dial.Next
		e.Conclusion = orWord(e.Conclusion, "Nothing was sent.")
	}
	var setup *ssh.SetupError
	if errors.As(err, &setup) && e.Next == "" {
		e.Next = setup.Next
	}
	var login *registry.LoginError
	if errors.As(err, &login) && e.Next == "" {
		e.Next = "docker login " + login.Registry + ", or another tool that writes ~/.docker/config.json"
	}
	var push *pushError
	if errors.As(err, &push) {
		e.Conclusion = orWord(e.Conclusion, "No host was changed.")
	}
	var build *builder.Failure
	if errors.As(err, &build) {
		e.Detail, e.Next = build.Detail(), build.Next
		e.Conclusion = orWord(e.Conclusion, "Nothing was changed.")
	}
}

// printFailure writes a failure in its four parts.
func printFailure(w io.Writer, e event.Event, color bool) {
	mark := "✗ "
	if color {
		mark = "\x1b[31m✗\x1b[0m "
	}
	lines := strings.Split(strings.TrimRight(e.Text, "\n"), "\n")
	fmt.Fprintln(w, mark+strings.Join(lines, "\n  "))
	if e.Detail != "" {
		fmt.Fprintln(w, "  "+strings.ReplaceAll(strings.TrimRight(e.Detail, "\n"), "\n", "\n  "))
	}
	if e.Conclusion != "" {
		fmt.Fprintln(w, "  "+e.Conclusion)
	}
	if e.Next != "" {
		fmt.Fprintln(w, "  Next: "+e.Next)
	}
}

func indentLines(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "Its last lines:\n  " + strings.Join(lines, "\n  ")
}

func releaseName(n int) string {
	if n == 0 {
		return "nothing"
	}
	return fmt.Sprintf("release %d", n)
}

func orWord(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
