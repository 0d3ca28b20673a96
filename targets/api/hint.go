package api

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// Hint says what is to be done about what an agent refused, where the
// environment is not known.
func (e *Error) Hint() pipeline.Hint { return e.HintIn("", "") }

// HintIn is Hint for an environment. declared is where the file declares what
// the error is about, in brackets, or "".
func (e *Error) HintIn(env, declared string) pipeline.Hint {
	h := pipeline.Hint{}
	if e.Detail != "" {
		h.Detail = phrase.Capital(e.Detail) + declared
	}
	switch {
	case e.Lease != nil:
		h.Text = fmt.Sprintf("%s is being changed by %s on %s (%s) since %s; their lease ends in %.0fs unless renewed.", cmp.Or(env, "the environment"),
			e.Lease.Holder.Who(), e.Lease.Holder.Machine, e.Lease.Holder.Command, e.Lease.Since.Local().Format(time.TimeOnly), e.Lease.Seconds)
	case e.Freeze != nil:
		h.Text = e.Freeze.Text(cmp.Or(env, "the environment"))
		h.Next = "dray unlock " + cmp.Or(env, "ENV") + ", once that is settled"
	case e.Code == CodeForbidden:
		h.Class = pipeline.Refused
		if e.Role != "" {
			h.Next = "ask whoever keeps authorized_keys or sudoers on that host for --role " + e.Role
		}
	case e.Code == CodeSpace && strings.Contains(e.Message, "memory"):
		h.Next = "lower memory in its resources block, or take another host"
	case e.Code == CodeSpace:
		h.Next = "make room there; dray prune " + cmp.Or(env, "ENV") + " drops what no release needs"
	case e.Code == CodePort:
		h.Next = "end what holds it there, or publish another port" + declared
	case e.Code == CodeSource && e.Volume != "":
		h.Next = "make it on that host, or leave source out: dray keeps the data in a volume of its own then"
	}
	return h
}

// Text says who keeps deployments out of an environment, until when and why.
func (f *Freeze) Text(env string) string {
	return fmt.Sprintf("%s is locked by %s on %s%s: %s", env, f.By.Who(), f.By.Machine, f.UntilText(), f.Reason)
}

// UntilText is " until TIME", or "" of a lock without end.
func (f *Freeze) UntilText() string {
	if f.Until.IsZero() {
		return ""
	}
	return " until " + f.Until.Local().Format(time.DateTime)
}
