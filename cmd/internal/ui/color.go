package ui

import (
	"os"

	"dray/pipeline/plan"
)

// Colours, as a terminal's escape codes name them. Nothing needs one to be
// understood.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
	bold   = "1"
)

// InColor says that what is written to f may have colours.
func InColor(f *os.File) bool { return IsTerminal(f) && os.Getenv("NO_COLOR") == "" }

func paint(code, s string) string {
	if s == "" {
		return ""
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// PlanStyle colours a plan that is written to f.
func PlanStyle(f *os.File) plan.Style {
	if !InColor(f) {
		return plan.Plain
	}
	codes := map[plan.Look]string{
		plan.LookAdded: green, plan.LookChanged: yellow, plan.LookRemoved: red, plan.LookDrift: yellow, plan.LookFaint: dim,
	}
	return func(look plan.Look, text string) string { return paint(codes[look], text) }
}
