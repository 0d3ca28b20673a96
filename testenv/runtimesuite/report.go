package runtimesuite

import (
	_ "embed"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
)

// reasonsText says why a test that runc passes may fail, a line each:
//
//	FILE: TEST => REASON
//
//go:embed reasons.txt
var reasonsText string

// Reasons maps a test, "FILE: TEST", to the reason why it may fail.
type Reasons map[string]string

// KnownReasons are those of reasons.txt.
func KnownReasons() (Reasons, error) { return readReasons(reasonsText) }

func readReasons(text string) (Reasons, error) {
	reasons := Reasons{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		test, reason, ok := strings.Cut(line, " => ")
		file, _, named := strings.Cut(test, ".bats: ")
		switch {
		case !ok || !named || file == "" || strings.TrimSpace(reason) == "":
			return nil, fmt.Errorf("reasons.txt: %q is not FILE: TEST => REASON", line)
		case reasons[test] != "":
			return nil, fmt.Errorf("reasons.txt: %q has two reasons", test)
		}
		reasons[test] = strings.TrimSpace(reason)
	}
	return reasons, nil
}

// A Verdict is what the outcomes say, against the reasons.
type Verdict struct {
	Unexplained []Case   // runc passes, dray-oci does not, and nobody wrote why
	Explained   []Case   // likewise, with a reason
	Better      []Case   // dray-oci passes where runc fails
	Stale       []string // tests whose reason no longer holds, or that are no more
}

// Judge compares the outcomes. Only reasons for files that match pattern can
// be stale.
func Judge(cases []Case, reasons Reasons, pattern string) Verdict {
	var v Verdict
	holds := map[string]bool{}
	for _, c := range cases {
		switch {
		case c.Reference.Outcome == Pass && c.Tested.Outcome != Pass && reasons[c.id()] != "":
			holds[c.id()] = true
			v.Explained = append(v.Explained, c)
		case c.Reference.Outcome == Pass && c.Tested.Outcome != Pass:
			v.Unexplained = append(v.Unexplained, c)
		case c.Reference.Outcome == Fail && c.Tested.Outcome == Pass:
			v.Better = append(v.Better, c)
		}
		// Where runc does not pass either, nothing can be said of the reason.
		holds[c.id()] = holds[c.id()] || c.Reference.Outcome != Pass
	}
	for test := range reasons {
		file, _, _ := strings.Cut(test, ".bats: ")
		if ok, err := path.Match(pattern, file); !holds[test] && (pattern == "" || err == nil && ok) {
			v.Stale = append(v.Stale, test)
		}
	}
	slices.Sort(v.Stale)
	return v
}

func (c Case) id() string { return c.File + ": " + c.Name }

// Err is nil if dray-oci keeps what runc promises.
func (v Verdict) Err() error {
	if len(v.Unexplained) == 0 && len(v.Stale) == 0 {
		return nil
	}
	return fmt.Errorf("%d tests fail that runc passes, without a reason in testenv/runtimesuite/reasons.txt; %d reasons there no longer hold",
		len(v.Unexplained), len(v.Stale))
}

// Report prints the counts of each file, and what differs.
func Report(w io.Writer, cases []Case, reasons Reasons, v Verdict) error {
	var files []string
	counts := map[string]*[6]int{"all": {}}
	for _, c := range cases {
		if counts[c.File] == nil {
			files = append(files, c.File)
			counts[c.File] = &[6]int{}
		}
		for _, row := range []string{c.File, "all"} {
			counts[row][column(c.Reference.Outcome)]++
			counts[row][3+column(c.Tested.Outcome)]++
		}
	}
	table := tabwriter.NewWriter(w, 0, 1, 2, ' ', 0)
	fmt.Fprintln(table, "file\trunc: pass\tfail\tskip\tdray-oci: pass\tfail\tskip")
	for _, row := range append(files, "all") {
		n := counts[row]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", row, n[0], n[1], n[2], n[3], n[4], n[5])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, c := range v.Explained {
		fmt.Fprintf(w, "\ndiffers: %s\n  %s\n", c.id(), reasons[c.id()])
	}
	for _, c := range v.Better {
		fmt.Fprintf(w, "\nfails with runc alone: %s\n", c.id())
	}
	for _, c := range v.Unexplained {
		fmt.Fprintf(w, "\nFAILS (%s): %s\n%s", c.Tested.Outcome, c.id(), c.Tested.Output)
	}
	for _, test := range v.Stale {
		fmt.Fprintf(w, "\nTHE REASON NO LONGER HOLDS: %s\n", test)
	}
	return nil
}

// column is an outcome's place in the table; one that never ran has failed.
func column(o Outcome) int {
	switch o {
	case Pass:
		return 0
	case Skipped:
		return 2
	default:
		return 1
	}
}
