package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"dray/builder"
	"dray/builder/images"
	"dray/builder/registry"
	"dray/deploy"
	"dray/deploy/environment"
	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/pipeline/plan"
	"dray/pipeline/run"
	"dray/pipeline/secret"
	"dray/targets/api"
)

// partlyShipped is a walk over several environments that failed at one of
// them: those before it run what was shipped.
type partlyShipped struct {
	done []*pipeline.Deployed
	err  error
}

func (e *partlyShipped) Error() string { return e.err.Error() }

// Unwrap returns the failure.
func (e *partlyShipped) Unwrap() error { return e.err }

// explain turns an error into what the person sees, and the exit code.
func explain(err error) (event.Event, int) {
	e := event.Event{Version: event.Version, Type: event.Failure, Text: err.Error()}
	code := exitFailed
	var exit *exitError
	var refusal *run.Refusal
	var failed *deploy.Error
	var moved *plan.MovedError
	switch {
	case errors.As(err, &exit):
		return exit.failure, exit.code
	case errors.As(err, &refusal):
		code = exitRefused
		e.Environment, e.Next = refusal.Environment, refusal.Next
		e.Release, e.Revision = refusal.Release.Number, refusal.Release.Revision
		e.Conclusion = refusal.Environment + " is untouched."
		if refusal.Back || refusal.Runs.Known() || refusal.Release.Known() { // it was looked at
			e.Conclusion = untouched(refusal.Environment, refusal.Runs)
		}
	case errors.As(err, &moved):
		hint := moved.Hint()
		code, e.Environment, e.Conclusion, e.Next = exitRefused, hint.Environment, hint.Conclusion, hint.Next
	case errors.As(err, &failed):
		code = explainDeploy(failed, &e)
	}
	explainKnown(err, &e)
	if hint := pipeline.HintOf(err); code == exitFailed {
		code = exitOf(hint.Class)
		e.Environment = cmp.Or(e.Environment, hint.Environment)
		e.Detail, e.Conclusion, e.Next = cmp.Or(e.Detail, hint.Detail), cmp.Or(e.Conclusion, hint.Conclusion), cmp.Or(e.Next, hint.Next)
	}
	// That hosts are left half changed matters more than why, and so does its next
	// step.
	if interrupted := errors.Is(err, errInterrupted); code != exitNotReverted && (interrupted || errors.Is(err, context.Canceled)) {
		code = exitInterrupted
		if interrupted {
			e.Text, e.Detail, e.Next = "interrupted", "", ""
		}
	}
	var partly *partlyShipped
	if errors.As(err, &partly) {
		e.Conclusion = phrase.Words(conclusion(nil, partly.done...).Text, e.Conclusion)
	}
	if e.Next == "" && code == exitFailed {
		e.Next = askHost(err)
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

// askHost is the command that looks at a host which failed otherwise than by
// refusing what it was asked for; or "".
func askHost(err error) string {
	var host *deploy.HostError
	var refused *api.Error
	if !errors.As(err, &host) || errors.As(err, &refused) && refused.Code != api.CodeInternal {
		return ""
	}
	return "dray host check " + host.Host + " shows how it is"
}

// explainDeploy says what is true after a deployment that failed.
func explainDeploy(failed *deploy.Error, e *event.Event) int {
	e.Environment, e.Release, e.Revision = failed.Environment, failed.Release.Number, failed.Release.Revision
	e.Detail = indentLines(failed.Logs)
	var verify *run.VerifyError
	if errors.As(failed, &verify) {
		e.Detail = indentLines(verify.Output)
	}
	switch failed.Outcome {
	case deploy.Refused:
		e.Conclusion = "Nothing was changed."
		e.Next = cmp.Or(pipeline.HintOf(failed.Cause).Next, phrase.Words("wait with --lock-wait 2m, or look: dray status", failed.Environment))
		return exitRefused
	case deploy.Reverted:
		e.Conclusion, e.Next = wentBack(failed), logsOf(failed)
		return exitReverted
	case deploy.NotReverted:
		e.Conclusion = phrase.List(failed.Stuck) + " did not go back; the agents do so by themselves when the lease has ended."
		e.Next = phrase.Words("dray status", failed.Environment) + ", then " + phrase.Words("dray recover", failed.Environment)
		return exitNotReverted
	case deploy.Paused:
		explainHeld(failed, e)
		return exitNotReverted
	case deploy.InDoubt:
		e.Conclusion = "All hosts had agreed on the release and run it; whether " + phrase.List(failed.Stuck) + " has recorded that is not known."
		e.Next = phrase.Words("dray recover", failed.Environment)
		return exitNotReverted
	}
	e.Conclusion, e.Next = "Nothing was changed.", logsOf(failed)
	if failed.Environment != "" {
		e.Conclusion = untouched(failed.Environment, failed.From)
	}
	return exitFailed
}

func untouched(env string, runs pipeline.ReleaseNumber) string {
	return env + " is untouched and runs " + runs.Name() + "."
}

// wentBack says what the hosts serve after a release was taken back.
func wentBack(failed *deploy.Error) string {
	verb := " serve "
	if len(failed.Hosts) == 1 {
		verb = " serves "
	}
	return fmt.Sprintf("%s%s%s again. Nothing of release %s is left running.", phrase.List(failed.Hosts), verb, failed.From.Name(), failed.Release)
}

// logsOf is the command that shows why a release failed: what a service wrote
// before it was taken back, or what a task wrote; or "".
func logsOf(failed *deploy.Error) string {
	var refused *api.Error
	if errors.As(failed, &refused) && len(refused.Logs) > 0 {
		switch {
		case refused.Task != "":
			return fmt.Sprintf("dray logs %s %s shows all of its output", failed.Environment, refused.Task)
		case refused.Service != "":
			return fmt.Sprintf("dray logs %s %s --release %s shows all of its output", failed.Environment, refused.Service, failed.Release)
		}
	}
	var stalled *deploy.StalledError
	if errors.As(failed, &stalled) && len(stalled.Waited) > 0 {
		return logsOfStalled(failed, stalled)
	}
	var verify *run.VerifyError
	if errors.As(failed, &verify) {
		return fmt.Sprintf("dray logs %s --release %s shows what it wrote; or mend verify %s (%s)", failed.Environment, failed.Release, verify.Verify.Name, verify.Verify.At)
	}
	if failed.Outcome == deploy.Reverted {
		return fmt.Sprintf("dray logs %s --release %s shows what it wrote", failed.Environment, failed.Release)
	}
	return ""
}

// logsOfStalled shows what the first instance wrote that was started and waited
// for. Where none was, what they replace does not end.
func logsOfStalled(failed *deploy.Error, stalled *deploy.StalledError) string {
	for _, w := range stalled.Waited {
		if service, _, _ := strings.Cut(w.Instance, "/"); w.Started() {
			return fmt.Sprintf("dray logs %s %s --release %s shows what it wrote", failed.Environment, service, failed.Release)
		}
	}
	service, _, _ := strings.Cut(stalled.Waited[0].Instance, "/")
	deadline := "progress_deadline"
	if at := stalled.At.String(); at != "" {
		deadline += " (" + at + ")"
	}
	return fmt.Sprintf("dray logs %s %s shows what the old one still does; a longer %s gives it time to end", failed.Environment, service, deadline)
}

// explainKnown adds what certain failures tell beside their text.
func explainKnown(err error, e *event.Event) {
	var refused *api.Error
	if errors.As(err, &refused) {
		explainAgent(refused, portPlace(err, refused), e)
	}
	var stalled *deploy.StalledError
	if errors.As(err, &stalled) && stalled.Ailment != nil {
		e.Detail = strings.TrimSpace(stalled.Ailment.Message + "\n" + e.Detail)
	}
	var unattended *deploy.UnattendedError
	if errors.As(err, &unattended) {
		e.Next = strings.Join(append(retyped(os.Args, nil), "--continue"), " ") + ", or auto_promote = true in its update block"
	}
	var missing *secret.MissingError
	if errors.As(err, &missing) {
		explainSecrets(missing, e)
	}
	var name *unknownError
	if errors.As(err, &name) {
		e.Next = name.next(os.Args)
	}
	var dial *ssh.DialError
	if errors.As(err, &dial) && e.Next == "" {
		e.Next = dial.Next
		e.Conclusion = cmp.Or(e.Conclusion, "Nothing was sent.")
	}
	var away *environment.UnreachableError
	if errors.As(err, &away) {
		e.Next = strings.TrimPrefix(e.Next+"; or go on without: --skip-host "+strings.Join(away.Hosts, ","), "; ")
	}
	var setup *ssh.SetupError
	if errors.As(err, &setup) && e.Next == "" {
		e.Next = setup.Next
	}
	var login *registry.LoginError
	if errors.As(err, &login) && e.Next == "" {
		e.Next = "docker login " + login.Registry + ", or another tool that writes ~/.docker/config.json"
	}
	var push *images.PushError
	if errors.As(err, &push) {
		e.Conclusion = cmp.Or(e.Conclusion, "No host was changed.")
	}
	var build *builder.Failure
	if errors.As(err, &build) {
		e.Detail, e.Next = build.Detail(), build.Next
		e.Conclusion = cmp.Or(e.Conclusion, "Nothing was changed.")
	}
}

// portPlace is where the file declares the port that a failure is about, or "".
func portPlace(err error, refused *api.Error) string {
	var failed *deploy.Error
	if !errors.As(err, &failed) || failed.PortAt.String() == "" {
		return ""
	}
	return fmt.Sprintf(" (port %q at %s)", refused.Port, failed.PortAt)
}

// explainAgent adds what an agent told. port is the place of the port that it
// is about, or "".
func explainAgent(refused *api.Error, port string, e *event.Event) {
	env := cmp.Or(e.Environment, "the environment")
	if l := refused.Lease; l != nil {
		e.Text = fmt.Sprintf("%s is being changed by %s on %s (%s) since %s; their lease ends in %.0fs unless renewed.",
			env, l.Holder.User, l.Holder.Machine, l.Holder.Command, l.Since.Local().Format(time.TimeOnly), l.Seconds)
	}
	if f := refused.Freeze; f != nil {
		e.Text = environment.LockedText(env, f)
		e.Next = phrase.Words("dray unlock", cmp.Or(e.Environment, "ENV")) + ", once that is settled"
	}
	if refused.Code == api.CodeSpace && e.Next == "" {
		e.Next = phrase.Words("make room there; dray prune", cmp.Or(e.Environment, "ENV"), "drops what no release needs")
		if strings.Contains(refused.Message, "memory") {
			e.Next = "lower memory in its resources block, or take another host"
		}
	}
	if refused.Code == api.CodePort && e.Next == "" {
		e.Next = "end what holds it there, or publish another port" + port
	}
	if refused.Detail != "" {
		e.Detail = strings.TrimSpace(phrase.Capital(refused.Detail) + port + "\n" + e.Detail)
	}
}

func explainSecrets(missing *secret.MissingError, e *event.Event) {
	names := make([]string, len(missing.Names))
	for i, name := range missing.Names {
		if names[i] = name; missing.Declared[name] != "" {
			names[i] += " (" + missing.Declared[name] + ")"
		}
	}
	e.Text = phrase.Count(len(names), "secret") + " without a value for " + missing.Environment + ": " + strings.Join(names, ", ")
	e.Conclusion = cmp.Or(e.Conclusion, "Nothing was changed.")
	e.Next = fmt.Sprintf("write %s=… into %s/secrets.%s, or %[2]s/secrets for all environments, or set a variable of that name", missing.Names[0], secret.Folder, missing.Environment)
	if missing.Command != "" {
		e.Detail = fmt.Sprintf("%q did not print it either.", missing.Command)
		return
	}
	e.Next += "; " + secret.CommandVariable + " can name a command that prints it"
}
