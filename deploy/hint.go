package deploy

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// classes say what an outcome means to who waits for it.
var classes = map[Outcome]pipeline.Class{
	Unchanged: pipeline.Failed, Reverted: pipeline.Reverted, NotReverted: pipeline.NotReverted,
	Paused: pipeline.NotReverted, InDoubt: pipeline.NotReverted, Refused: pipeline.Refused,
}

// Hint says what is true after a deployment that failed, and what leads on.
func (e *Error) Hint() pipeline.Hint {
	h := pipeline.Hint{Class: classes[e.Outcome], Environment: e.Environment, Release: e.Release, Detail: e.detail()}
	agent := e.agentHint()
	h.Text = agent.Text
	switch e.Outcome {
	case Refused:
		h.Conclusion = "Nothing was changed."
		h.Next = cmp.Or(agent.Next, pipeline.HintOf(e.Cause).Next, phrase.Words("wait with --lock-wait 2m, or look: dray status", e.Environment))
	case Reverted:
		h.Conclusion, h.Next = wentBack(e), logsOf(e)
	case NotReverted:
		h.Conclusion = phrase.List(e.Stuck) + " did not go back; the agents do so by themselves when the lease has ended."
		h.Next = phrase.Words("dray status", e.Environment) + ", then " + phrase.Words("dray recover", e.Environment)
	case Paused:
		h.Conclusion, h.Next = pausedText(e), WaysOn(e.Environment, e.From)
	case InDoubt:
		h.Conclusion = "All hosts had agreed on the release and run it; whether " + phrase.List(e.Stuck) + " has recorded that is not known."
		h.Next = phrase.Words("dray recover", e.Environment)
	default:
		h.Conclusion, h.Next = "Nothing was changed.", cmp.Or(logsOf(e), agent.Next)
		if e.Environment != "" {
			h.Conclusion = e.Environment + " is untouched and runs " + e.From.Name() + "."
		}
	}
	return h
}

// agentHint is what the agent has to say that refused something, if one did.
func (e *Error) agentHint() pipeline.Hint {
	var refused *api.Error
	if !errors.As(e.Cause, &refused) {
		return pipeline.Hint{}
	}
	declared := ""
	if at := e.DeclaredAt.String(); at != "" {
		what, name := "port", refused.Port
		if refused.Volume != "" {
			what, name = "volume", refused.Volume
		}
		declared = fmt.Sprintf(" (%s %q at %s)", what, name, at)
	}
	return refused.HintIn(e.Environment, declared)
}

// detail is why it failed: what is wrong with an instance, and the last words of
// its container, or of what else failed.
func (e *Error) detail() string {
	var lines []string
	var stalled *StalledError
	if errors.As(e.Cause, &stalled) && stalled.Ailment != nil {
		lines = append(lines, stalled.Ailment.Message)
	}
	if agent := e.agentHint().Detail; agent != "" {
		lines = append(lines, agent)
	} else if len(e.Logs) == 0 && len(lines) == 0 {
		return pipeline.HintOf(e.Cause).Detail
	}
	if len(e.Logs) > 0 {
		lines = append(lines, phrase.LastLines(e.Logs))
	}
	return strings.Join(lines, "\n")
}

// Hint says how a yes is given where there is nobody to ask.
func (e *UnattendedError) Hint() pipeline.Hint {
	return pipeline.Hint{Class: pipeline.Refused, Next: "the same with --continue, or auto_promote = true in its update block"}
}

// Hint is the command that looks at a host which failed otherwise than by
// refusing what it was asked for.
func (e *HostError) Hint() pipeline.Hint {
	var refused *api.Error
	if pipeline.HintOf(e.Err).Next != "" || errors.As(e.Err, &refused) && refused.Code != api.CodeInternal {
		return pipeline.Hint{}
	}
	return pipeline.Hint{Next: "dray host check " + e.Host + " shows how it is"}
}

// pausedText says what is true after a rollout that failed and is paused, because
// its services say auto_revert = false.
func pausedText(e *Error) string {
	s, where := e.Pause, ""
	if at := s.At.String(); at != "" {
		where = " (" + at + ")"
	}
	lines := []string{
		fmt.Sprintf("%s is still in place on %s as far as it came, because auto_revert is false%s.", phrase.Capital(e.Release.Name()), phrase.List(s.Hosts), where),
		"Serving now: " + serves(s.Serves) + ".",
	}
	if len(e.Stuck) > 0 {
		lines = append(lines, phrase.List(e.Stuck)+" could not be told to hold it, and will go back when the lease has ended; the next rollback or deploy makes all hosts equal.")
	}
	return strings.Join(lines, "\n")
}

// WaysOn are the commands that lead on from a release that is held.
func WaysOn(env string, from pipeline.ReleaseNumber) string {
	return fmt.Sprintf("dray rollback %s goes back to %s; or repair it and dray deploy %[1]s, which goes back first", env, from.Name())
}

// serves lists from which releases the services serve: "web 1 of release 41
// and 2 of release 42, db none".
func serves(all []Serving) string {
	var parts []string
	for i := 0; i < len(all); {
		name := all[i].Service
		var of []string
		for ; i < len(all) && all[i].Service == name; i++ {
			if all[i].Count == 0 {
				of = append(of, "none")
				continue
			}
			of = append(of, fmt.Sprintf("%d of %s", all[i].Count, all[i].Release.Name()))
		}
		parts = append(parts, name+" "+phrase.List(of))
	}
	return strings.Join(parts, ", ")
}

// wentBack says what the hosts serve after a release was taken back.
func wentBack(failed *Error) string {
	verb := " serve "
	if len(failed.Hosts) == 1 {
		verb = " serves "
	}
	return fmt.Sprintf("%s%s%s again. Nothing of release %s is left running.", phrase.List(failed.Hosts), verb, failed.From.Name(), failed.Release)
}

// logsOf is the command that shows why a release failed: what a service wrote
// before it was taken back, or what a task wrote; or "".
func logsOf(failed *Error) string {
	var refused *api.Error
	if errors.As(failed, &refused) && len(refused.Logs) > 0 {
		switch {
		case refused.Task != "":
			return fmt.Sprintf("dray logs %s %s shows all of its output", failed.Environment, refused.Task)
		case refused.Service != "":
			return fmt.Sprintf("dray logs %s %s --release %s shows all of its output", failed.Environment, refused.Service, failed.Release)
		}
	}
	var stalled *StalledError
	if errors.As(failed, &stalled) && len(stalled.Waited) > 0 {
		return logsOfStalled(failed, stalled)
	}
	if failed.Outcome == Reverted {
		text := fmt.Sprintf("dray logs %s --release %s shows what it wrote", failed.Environment, failed.Release)
		if next := pipeline.HintOf(failed.Cause).Next; next != "" {
			text += "; or " + next
		}
		return text
	}
	return ""
}

// logsOfStalled shows what the first instance wrote that was started and waited
// for. Where none was, what they replace does not end.
func logsOfStalled(failed *Error, stalled *StalledError) string {
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
