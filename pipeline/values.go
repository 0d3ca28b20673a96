package pipeline

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// Pos is a place in the user's files, for messages. It is never part of a
// release.
type Pos struct {
	File   string // as the user would type it
	Line   int    // from 1
	Column int    // from 1
}

// String returns "FILE:LINE", or "" where the place is not known.
func (p Pos) String() string {
	if p.File == "" {
		return ""
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Duration is a time.Duration whose text form is Go's ("1m30s").
type Duration time.Duration

// D returns d as a time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String returns the shortest text that ParseDuration reads back: "1m", not
// "1m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText gives the text form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the text form.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// Bytes is an amount of memory or disk. Its JSON form is a number; its text
// form for people has binary units.
type Bytes int64

var amountPattern = regexp.MustCompile(`^[0-9]+(\.[0-9]+)? ?[a-zA-Z]*$`)

// ParseBytes reads "256MiB", "512m", "64mb" or a plain number of bytes, as
// Docker does: every unit is binary, in either case.
func ParseBytes(s string) (Bytes, error) {
	s = strings.TrimSpace(s)
	if amountPattern.MatchString(s) {
		// Past the range of int64 the conversion gives any number, most of them negative.
		if v, err := units.RAMInBytes(s); err == nil && v >= 0 && v < 1<<62 {
			return Bytes(v), nil
		}
	}
	return 0, fmt.Errorf("%q is not an amount of bytes: write it like 256MiB, 1.5g or 512m", s)
}

// String returns the amount in the largest binary unit that divides it, or
// with one decimal.
func (b Bytes) String() string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(b), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return strconv.FormatFloat(v, 'f', decimals(v), 64) + units[i]
}

func decimals(v float64) int {
	if v == float64(int64(v)) {
		return 0
	}
	return 1
}
