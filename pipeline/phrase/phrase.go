// Package phrase puts values into the words in which dray speaks of them:
// counts, lists, sizes, times, digests, and names that were probably meant.
// Every part of dray says the same thing the same way. It lays nothing out;
// cmd/internal/ui does.
package phrase

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/docker/go-units"
)

// Count is "1 host", "2 hosts".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// IsAre is the verb behind Count, with blanks around it.
func IsAre(n int) string {
	if n == 1 {
		return " is "
	}
	return " are "
}

// List joins names as a sentence does: "dev, test and prod".
func List(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// Words joins with blanks those that are not empty.
func Words(words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// Because is a state with its reason: "failed: exit code 1".
func Because(state, reason string) string {
	if reason == "" {
		return state
	}
	return state + ": " + reason
}

// Cause is what went wrong with a file, without the operation and the path,
// which the sentence around it names.
func Cause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// Capital is s with a capital at its start, to begin a sentence with.
func Capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

// sizes are decimal, as transfers are counted.
var sizes = []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}

// Size is an amount of bytes in decimal units, with three digits: "182 kB",
// "8.41 MB".
func Size(n int64) string {
	size := float64(n)
	if size >= 1000 { // rounded first, so that 999 999 is no "1e+03 kB"
		step := math.Pow10(int(math.Log10(size)) - 2)
		size = math.Round(size/step) * step
	}
	return units.CustomSize("%.3g %s", size, 1000, sizes)
}

// Seconds is a length of time: "1.3s", "1m30s".
func Seconds(s float64) string {
	if s >= 90 {
		return fmt.Sprintf("%dm%02ds", int(s)/60, int(s)%60)
	}
	return fmt.Sprintf("%.1fs", s)
}

// Digest is a digest's first 12 digits, for people: "7d1c0f6e2b9a".
func Digest(digest string) string {
	_, hex, found := strings.Cut(digest, ":")
	if !found {
		hex = digest
	}
	return hex[:min(12, len(hex))]
}

// LastLines are the last words of what failed, indented; "" of nothing.
func LastLines(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "Its last lines:\n  " + strings.Join(lines, "\n  ")
}

// Age is how long ago t was, in one unit.
func Age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(int(d.Seconds()), 0))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
