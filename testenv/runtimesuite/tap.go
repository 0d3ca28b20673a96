package runtimesuite

import (
	"regexp"
	"strings"
)

// An Outcome is how a test ended.
type Outcome string

// A test that the machine can't run is skipped, and says why.
const (
	Pass    Outcome = "pass"
	Fail    Outcome = "fail"
	Skipped Outcome = "skip"
	Missing Outcome = "missing" // it has not run at all
)

// A Result is one test's outcome with what it printed.
type Result struct {
	Outcome Outcome
	Output  string
}

var tapLine = regexp.MustCompile(`^(ok|not ok) \d+ (.*)$`)

// readTAP reads what bats printed in the form of the Test Anything Protocol:
// results by the tests' names. What comes before the first test is dropped.
func readTAP(text string) map[string]Result {
	results := map[string]Result{}
	current := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if match := tapLine.FindStringSubmatch(line); match != nil {
			name, r := match[2], Result{Outcome: Fail}
			if match[1] == "ok" {
				name, r.Outcome = cutSkip(name)
			}
			current, results[name] = name, r
			continue
		}
		if current != "" {
			r := results[current]
			r.Output += line + "\n"
			results[current] = r
		}
	}
	return results
}

// cutSkip takes the directive off the name of a test that has not failed.
// Names have "#" of their own.
func cutSkip(name string) (string, Outcome) {
	i := strings.LastIndex(name, " # skip")
	if i < 0 {
		return name, Pass
	}
	return name[:i], Skipped
}
