package logs

import (
	"bytes"
	"errors"
	"time"
)

var errNotARecord = errors.New("not a record")

// appendRecord appends r as a line of a file.
func appendRecord(to []byte, r Record) []byte {
	to = r.Time.UTC().AppendFormat(to, timeFormat)
	to = append(to, ' ')
	to = append(to, r.Stream.String()...)
	if r.Partial {
		to = append(to, " P "...)
	} else {
		to = append(to, " F "...)
	}
	to = append(to, r.Text...)
	return append(to, '\n')
}

// parseRecord reads a line of a file, without its end. Text refers to line.
func parseRecord(line []byte) (Record, error) {
	var r Record
	if len(line) < timeWidth+len(" stdout F ") || line[timeWidth] != ' ' {
		return r, errNotARecord
	}
	at, err := time.Parse(timeFormat, string(line[:timeWidth]))
	if err != nil {
		return r, errNotARecord
	}
	rest := line[timeWidth+1:]
	switch {
	case bytes.HasPrefix(rest, []byte("stdout ")):
		r.Stream = Stdout
	case bytes.HasPrefix(rest, []byte("stderr ")):
		r.Stream = Stderr
	default:
		return r, errNotARecord
	}
	rest = rest[len("stdout "):]
	if len(rest) < 2 || rest[1] != ' ' || rest[0] != 'F' && rest[0] != 'P' {
		return r, errNotARecord
	}
	r.Time, r.Partial, r.Text = at, rest[0] == 'P', rest[2:]
	return r, nil
}
