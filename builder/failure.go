package builder

import (
	"fmt"
	"strings"

	"dray/pipeline"
)

// Failure is why a target did not become an image, with the place to look at.
type Failure struct {
	Target   string
	At       pipeline.Pos // in the Dockerfile, or in dray.hcl when that is at fault; zero when not known
	EndLine  int          // last line of the faulty instruction, from 1
	Source   []SourceLine // the faulty lines and some around them
	Step     string       // the builder's name of the step: "[build 3/5] RUN make"
	Reason   string       // one line
	Output   []string     // the step's last lines
	ExitCode int          // of the RUN; 0 when no command failed
	Next     string       // what to do, when that is known
	Err      error
}

// SourceLine is a line of a Dockerfile.
type SourceLine struct {
	Number int
	Text   string
	Fault  bool
}

// Error returns one line: where, and why.
func (f *Failure) Error() string {
	where := "building " + f.Target
	if at := f.At.String(); at != "" {
		where += ": " + at
	}
	return where + ": " + f.Reason
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Hint shows the faulty lines and the step's last words.
func (f *Failure) Hint() pipeline.Hint {
	return pipeline.Hint{Detail: f.Detail(), Next: f.Next, Conclusion: "Nothing was changed."}
}

// Detail returns the source lines, with the faulty ones marked, and the
// step's last output, indented, ready to print below Error.
func (f *Failure) Detail() string {
	var b strings.Builder
	for _, l := range f.Source {
		mark := " "
		if l.Fault {
			mark = ">"
		}
		fmt.Fprintf(&b, "%s %4d │ %s\n", mark, l.Number, l.Text)
	}
	if len(f.Output) > 0 {
		b.WriteString("Its last lines:\n")
	}
	for _, line := range f.Output {
		b.WriteString("  " + line + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}
