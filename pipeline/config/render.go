package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Styles of a terminal. Nothing needs them to be understood.
const (
	styleRed    = "\x1b[31m"
	styleYellow = "\x1b[33m"
	styleBold   = "\x1b[1m"
	styleFaint  = "\x1b[2m"
	styleReset  = "\x1b[0m"
)

// Render writes the findings as a person reads them, and how many there are.
// Text is wrapped at width columns; 0 does not wrap.
func (ds Diagnostics) Render(w io.Writer, width int, color bool) error {
	r := renderer{width: width, color: color}
	for _, d := range ds {
		r.diagnostic(d)
	}
	if n := ds.faults(); n == 1 {
		r.out.WriteString("1 fault. Nothing was done.\n")
	} else if n > 1 {
		fmt.Fprintf(&r.out, "%d faults. Nothing was done.\n", n)
	}
	_, err := io.WriteString(w, r.out.String())
	return err
}

// RenderJSON writes one JSON object a line: {"type":"diagnostic", …}.
func (ds Diagnostics) RenderJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	for _, d := range ds {
		line := struct {
			Version int    `json:"v"`
			Type    string `json:"type"`
			Diagnostic
		}{1, "diagnostic", d}
		if err := enc.Encode(line); err != nil {
			return fmt.Errorf("writing diagnostics: %w", err)
		}
	}
	return nil
}

type renderer struct {
	out   strings.Builder
	width int
	color bool
}

func (r *renderer) style(code, text string) string {
	if !r.color {
		return text
	}
	return code + text + styleReset
}

func (r *renderer) diagnostic(d Diagnostic) {
	mark, code := "✗", styleRed
	if d.Severity == Warning {
		mark, code = "!", styleYellow
	}
	r.out.WriteString(r.style(code, mark) + " ")
	if d.Range != nil {
		r.out.WriteString(d.Range.String() + ": ")
	}
	r.out.WriteString(r.style(styleBold, d.Summary) + "\n")
	r.snippet(d, code)
	for _, line := range wrap(d.Detail, r.width-2) {
		r.out.WriteString("  " + line + "\n")
	}
}

// snippet quotes the source with carets under what the finding is about:
//
//	28 │ service "web" {
//	   │ …
//	31 │   helth { path = "/up" }
//	   │   ^^^^^
func (r *renderer) snippet(d Diagnostic, code string) {
	if d.Range == nil || len(d.Source) == 0 {
		return
	}
	last := d.Source[len(d.Source)-1]
	gutter := max(4, len(fmt.Sprint(last.Number))) + 1
	bar := r.style(styleFaint, "│")
	previous := 0
	for _, line := range d.Source {
		if previous > 0 && line.Number > previous+1 {
			fmt.Fprintf(&r.out, "%*s %s …\n", gutter, "", bar)
		}
		fmt.Fprintf(&r.out, "%*d %s %s\n", gutter, line.Number, bar, line.Text)
		previous = line.Number
	}
	carets := caretsUnder(last.Text, d.Range)
	fmt.Fprintf(&r.out, "%*s %s %s\n", gutter, "", bar, r.style(code, carets))
}

// caretsUnder returns the line of carets for the first line of rng. Tabs are
// kept, so that the carets stand where the terminal puts the text.
func caretsUnder(text string, rng *Range) string {
	var b strings.Builder
	column := 1
	for _, c := range text {
		if column >= rng.Start.Column {
			break
		}
		if c == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
		column++
	}
	end := rng.End.Column
	if rng.End.Line != rng.Start.Line {
		end = utf8.RuneCountInString(strings.TrimRight(text, " \t")) + 1
	}
	b.WriteString(strings.Repeat("^", max(1, end-rng.Start.Column)))
	return b.String()
}

// wrap breaks text at spaces into lines of at most width characters. Lines of
// the text itself are kept; a width under 20 does not wrap.
func wrap(text string, width int) []string {
	if text == "" {
		return nil
	}
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if width < 20 {
			out = append(out, line)
			continue
		}
		for utf8.RuneCountInString(line) > width {
			cut := lastSpaceWithin(line, width)
			if cut <= 0 {
				break
			}
			out = append(out, line[:cut])
			line = strings.TrimLeft(line[cut:], " ")
		}
		out = append(out, line)
	}
	return out
}

// lastSpaceWithin returns the byte offset of the last space in the first
// width characters of line, or of the first space behind them, or -1.
func lastSpaceWithin(line string, width int) int {
	n, last := 0, -1
	for i, c := range line {
		if c == ' ' {
			if n > width && last > 0 {
				return last
			}
			last = i
			if n > width {
				return last
			}
		}
		n++
	}
	if n > width {
		return last
	}
	return -1
}
