package main

import (
	"fmt"
	"strings"

	"dray/pipeline/event"
)

// plainLine says an event in one line, or "" when it is not worth one.
func plainLine(e event.Event) string {
	where := place(e)
	switch e.Type {
	case event.RunStarted:
		return e.Text
	case event.StageStarted:
		return join(where, e.Stage, stageSubject(e), "…")
	case event.StageFinished:
		if e.Error != "" {
			return join(where, e.Stage, stageSubject(e), ending(e), "after", seconds(e.Took))
		}
		return join(where, e.Stage, stageSubject(e), shortDigest(e.Digest), "done in", seconds(e.Took))
	case event.StepFinished:
		if e.Error != "" {
			return join(where, e.Text, "failed") // the end says why
		}
		if e.Cached {
			return "" // nothing was done
		}
		return join(where, e.Text, took(e.Took))
	case event.Output:
		return join(where, "|", e.Text)
	case event.InstanceState:
		return join(where, e.Instance, because(e.State, e.Text))
	case event.HostState:
		if e.State == event.Prepared {
			return join(where, "prepared"+sent(e.Done))
		}
		return join(where, e.State, e.Text)
	case event.Warning:
		return join(where, "warning:", e.Text, next(e.Next))
	case event.Notice:
		return join(where, e.Text)
	}
	return ""
}

// ending is how a stage ended that did not come to its end.
func ending(e event.Event) string {
	if e.State == event.Cancelled {
		return e.State
	}
	return "failed"
}

// because is a state with what is said of it.
func because(state, text string) string {
	if text == "" {
		return state
	}
	return state + ": " + text
}

func sent(n int64) string {
	if n == 0 {
		return ""
	}
	return ", " + byteCount(n) + " sent"
}

// place is "ENVIRONMENT HOST:", as far as they are known.
func place(e event.Event) string {
	p := join(e.Environment, e.Host)
	if p == "" {
		return ""
	}
	return p + ":"
}

func stageSubject(e event.Event) string {
	if e.Stage == "deploy" {
		return "to " + e.Subject
	}
	return strings.TrimPrefix(e.Subject, e.Stage+" ")
}

func join(parts ...string) string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, " ")
}

func next(command string) string {
	if command == "" {
		return ""
	}
	return "(next: " + command + ")"
}

func took(s float64) string {
	if s < 0.05 {
		return ""
	}
	return seconds(s)
}

func seconds(s float64) string {
	if s >= 90 {
		return fmt.Sprintf("%dm%02ds", int(s)/60, int(s)%60)
	}
	return fmt.Sprintf("%.1fs", s)
}

// count is "1 host", "2 hosts".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// isAre is the verb behind count.
func isAre(n int) string {
	if n == 1 {
		return " is "
	}
	return " are "
}

// byteCount is an amount of bytes in decimal units, as transfers are counted.
func byteCount(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%d kB", (n+500)/1000)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

// shortDigest is the first 12 digits, for a terminal.
func shortDigest(d string) string {
	_, hex, _ := strings.Cut(d, ":")
	return hex[:min(12, len(hex))]
}
