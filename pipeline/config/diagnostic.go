package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Severity is how grave a finding is: an error stops dray, a warning does not.
type Severity string

// Severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Point is a place in a file. Columns count characters as a person does, from
// 1.
type Point struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// Range is what a finding is about; End is just behind it.
type Range struct {
	File  string `json:"file"` // as the user would type it
	Start Point  `json:"start"`
	End   Point  `json:"end"`
}

// String returns "FILE:LINE,COLUMN-COLUMN", or "FILE:LINE,COLUMN-LINE,COLUMN".
func (r Range) String() string {
	if r.Start.Line == r.End.Line {
		return fmt.Sprintf("%s:%d,%d-%d", r.File, r.Start.Line, r.Start.Column, max(r.End.Column, r.Start.Column))
	}
	return fmt.Sprintf("%s:%d,%d-%d,%d", r.File, r.Start.Line, r.Start.Column, r.End.Line, r.End.Column)
}

// SourceLine is a line of a file, quoted with a finding.
type SourceLine struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
}

// Diagnostic is one finding.
type Diagnostic struct {
	Severity Severity     `json:"severity"`
	Summary  string       `json:"summary"`          // what is wrong
	Detail   string       `json:"detail,omitempty"` // why, and how to put it right
	Range    *Range       `json:"range,omitempty"`  // nil when it is about no file
	Source   []SourceLine `json:"source,omitempty"` // the first line of the enclosing block, if another; then the line itself
}

// String returns the finding on one line.
func (d Diagnostic) String() string {
	var b strings.Builder
	if d.Range != nil {
		b.WriteString(d.Range.String() + ": ")
	}
	b.WriteString(d.Summary)
	if d.Detail != "" {
		b.WriteString(": " + strings.Join(strings.Fields(d.Detail), " "))
	}
	return b.String()
}

// Diagnostics are findings in the order of the files and lines that they are
// about.
type Diagnostics []Diagnostic

// HasErrors reports whether anything found stops dray.
func (ds Diagnostics) HasErrors() bool { return ds.faults() > 0 }

func (ds Diagnostics) faults() int {
	n := 0
	for _, d := range ds {
		if d.Severity == Error {
			n++
		}
	}
	return n
}

// Err returns nil when there is no error, and otherwise an error whose text
// has one finding a line.
func (ds Diagnostics) Err() error {
	if !ds.HasErrors() {
		return nil
	}
	return ds
}

// Error returns the errors, one a line.
func (ds Diagnostics) Error() string {
	var lines []string
	for _, d := range ds {
		if d.Severity == Error {
			lines = append(lines, d.String())
		}
	}
	return strings.Join(lines, "\n")
}

// MarshalJSON gives an array, never null.
func (ds Diagnostics) MarshalJSON() ([]byte, error) {
	return json.Marshal(append([]Diagnostic{}, ds...))
}

// fromHCL makes dray's diagnostics of HCL's, with the source lines that they
// are about, in order and each once.
func fromHCL(in hcl.Diagnostics, files map[string]*hcl.File) Diagnostics {
	var out Diagnostics
	seen := map[string]bool{}
	for _, d := range in {
		one := Diagnostic{Severity: Error, Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			one.Severity = Warning
		}
		if d.Subject != nil && d.Subject.Filename != "" {
			one.Range = rangeOf(*d.Subject)
			one.Source = sourceOf(files[d.Subject.Filename], d.Subject.Start)
		}
		key := one.Summary + "\x00" + one.Detail
		if one.Range != nil {
			key += one.Range.String()
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, one)
		}
	}
	slices.SortStableFunc(out, compareByPlace)
	return out
}

func compareByPlace(a, b Diagnostic) int {
	switch {
	case a.Range == nil && b.Range == nil:
		return 0
	case a.Range == nil:
		return -1
	case b.Range == nil:
		return 1
	}
	if c := strings.Compare(a.Range.File, b.Range.File); c != 0 {
		return c
	}
	if c := a.Range.Start.Line - b.Range.Start.Line; c != 0 {
		return c
	}
	return a.Range.Start.Column - b.Range.Start.Column
}

func rangeOf(r hcl.Range) *Range {
	return &Range{
		File:  r.Filename,
		Start: Point{r.Start.Line, r.Start.Column},
		End:   Point{r.End.Line, r.End.Column},
	}
}

// sourceOf quotes the line at pos, and above it the first line of the block
// around it.
func sourceOf(file *hcl.File, pos hcl.Pos) []SourceLine {
	if file == nil {
		return nil
	}
	lines := strings.Split(string(file.Bytes), "\n")
	if pos.Line < 1 || pos.Line > len(lines) {
		return nil
	}
	quote := func(n int) SourceLine {
		return SourceLine{n, strings.TrimRight(strings.ToValidUTF8(lines[n-1], "�"), "\r")}
	}
	var out []SourceLine
	if b := file.OutermostBlockAtPos(pos); b != nil && b.DefRange.Start.Line < pos.Line {
		out = append(out, quote(b.DefRange.Start.Line))
	}
	return append(out, quote(pos.Line))
}
