package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Table is what a verb lists. On a pipe it is complete; on a terminal it is as
// wide as that: columns come closer, the note is cut, and what can be spared is
// left out.
type Table struct {
	Header []string
	Rows   [][]string
	Spare  []string // columns that a narrow terminal does without, the first one first
	Note   string   // the column that may be cut; the last one
	Whole  bool     // no line is cut: a terminal breaks it
}

// leastNote is what is left of a note at least, as long as a column can be
// spared.
const leastNote = 20

// Add adds a row. A cell that is empty or missing is "-".
func (t *Table) Add(cells ...string) {
	row := make([]string, len(t.Header))
	for i := range row {
		if row[i] = "-"; i < len(cells) && cells[i] != "" {
			row[i] = cells[i]
		}
	}
	t.Rows = append(t.Rows, row)
}

// Print writes the table, for the width of the terminal that w is. Secrets are
// replaced before columns are measured and cut.
func (t *Table) Print(w io.Writer) error {
	shown, width := *t, 0
	if o, ok := w.(*Output); ok {
		width, shown.Rows = o.Width(), nil
		for _, row := range t.Rows {
			cells := make([]string, len(row))
			for i, cell := range row {
				cells[i] = o.Redact(cell)
			}
			shown.Rows = append(shown.Rows, cells)
		}
	}
	_, err := io.WriteString(w, shown.Text(width))
	return err
}

// Text draws the table in that many columns; 0: in as many as it takes.
func (t *Table) Text(width int) string {
	columns := make([]int, len(t.Header)) // those that are shown
	for i := range columns {
		columns[i] = i
	}
	gap := 3
	for width > 0 && t.need(columns, gap) > width {
		if gap = 2; t.need(columns, gap) <= width || !t.drop(&columns) {
			break
		}
	}
	var b strings.Builder
	widths := t.widths(columns)
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		line := ""
		for n, c := range columns {
			if line += row[c]; n < len(columns)-1 {
				line += strings.Repeat(" ", widths[n]-runewidth.StringWidth(row[c])+gap)
			}
		}
		if line = strings.TrimRight(line, " "); !t.Whole {
			line = shorten(line, width)
		}
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// drop leaves out the next column that can be spared, if there is one.
func (t *Table) drop(columns *[]int) bool {
	for _, name := range t.Spare {
		if i := slices.IndexFunc(*columns, func(c int) bool { return t.Header[c] == name }); i >= 0 {
			*columns = slices.Delete(*columns, i, i+1)
			return true
		}
	}
	return false
}

// need is how wide the table is at least.
func (t *Table) need(columns []int, gap int) int {
	total := gap * (len(columns) - 1)
	for n, width := range t.widths(columns) {
		if t.Header[columns[n]] == t.Note && gap < 3 {
			width = min(width, leastNote)
		}
		total += width
	}
	return total
}

func (t *Table) widths(columns []int) []int {
	widths := make([]int, len(columns))
	for n, c := range columns {
		widths[n] = runewidth.StringWidth(t.Header[c])
		for _, row := range t.Rows {
			widths[n] = max(widths[n], runewidth.StringWidth(row[c]))
		}
	}
	return widths
}

// shorten cuts a line to width columns; 0 does not cut.
func shorten(line string, width int) string {
	if width <= 0 || runewidth.StringWidth(line) <= width {
		return line
	}
	return runewidth.Truncate(line, width, "…")
}
