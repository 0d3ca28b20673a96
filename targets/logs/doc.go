// Package logs keeps what containers print in files, and reads it back.
//
// A container's folder holds "log" and, after rotation, "log.1" (the newest of
// the old ones), "log.2", … Each record is one line in the format that
// Kubernetes' container runtimes write, so that people and log shippers can
// read it without dray:
//
//	2026-11-22T14:50:57.123456789Z stdout F listening on :8080
//
// F ends a line; P is a part of a line that is longer than 16 KiB, or that was
// left open when the container ended. Times are UTC, with nine digits, so they
// sort as text.
//
// The Writer lives in the shim: output is captured while the agent is dead.
// It appends whole records with one write(2) each time; a record that a power
// cut tore is skipped by the reader, and ended by the next Writer.
//
// Not here: how lines reach a client (Docker's stdcopy framing is the API
// layer's), and what belongs to which service.
package logs

import (
	"time"
)

const (
	// FileName is the newest file's; older ones have ".1", ".2", …
	FileName = "log"

	// timeFormat has a fixed width: timeWidth bytes in UTC.
	timeFormat = "2006-01-02T15:04:05.000000000Z07:00"
	timeWidth  = 30

	// maxPart is the longest content of one record, in bytes.
	maxPart = 16 << 10

	// maxRecord bounds a line of a file; a longer one is not a record.
	maxRecord = maxPart + 64
)

// A Stream is where a process wrote: its standard output or its standard
// error.
type Stream byte

// Streams of a container; the values are those of Docker's stdcopy header.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// String returns "stdout" or "stderr".
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// A Record is one line that a container printed, or a part of a long one.
type Record struct {
	Time    time.Time
	Stream  Stream
	Text    []byte // without the line's end; may be any bytes but a line feed
	Partial bool   // the line goes on in the next record of this stream
}
