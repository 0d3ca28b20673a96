package api

import (
	"encoding/json"
	"fmt"

	"dray/pipeline/event"
)

// Codes of an Error: stable words that a client branches on.
const (
	CodeBadRequest = "bad_request"
	CodeNotFound   = "not_found"
	CodeLocked     = "locked"    // someone else holds the lease, or a freeze is on; Error.Lease or Error.Freeze says who
	CodeFenced     = "fenced"    // the caller's lease is not the newest any more
	CodeConflict   = "conflict"  // the state of the deployment does not allow the call
	CodePort       = "port"      // a port is taken
	CodeSpace      = "space"     // not enough disk or memory
	CodeSource     = "source"    // what a service or a task needs of the host is not there: Volume, or a program
	CodeImage      = "image"     // the image could not be had or is not sound
	CodeUnhealthy  = "unhealthy" // an instance did not become healthy
	CodeForbidden  = "forbidden" // the connection's role does not allow the call; Error.Role would
	CodeInternal   = "internal"
)

// Error is what a call failed with: the body of a status of 400 or more, or
// the last line of a stream.
type Error struct {
	Code     string   `json:"code"`
	Message  string   `json:"message"`            // what failed, why
	Instance string   `json:"instance,omitempty"` // "web/1"
	Service  string   `json:"service,omitempty"`
	Port     string   `json:"port,omitempty"`   // name of the port in the file
	Volume   string   `json:"volume,omitempty"` // name of the volume in the file
	Task     string   `json:"task,omitempty"`
	Detail   string   `json:"detail,omitempty"`
	Logs     []string `json:"logs,omitempty"` // the last lines that the container wrote
	Lease    *Lease   `json:"lease,omitempty"`
	Freeze   *Freeze  `json:"freeze,omitempty"`
	Role     string   `json:"role,omitempty"` // that allows the call, "deploy:prod"
}

// Error returns Message.
func (e *Error) Error() string { return e.Message }

// Errorf returns an Error.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// StreamLine is one line of an answer that is a stream. Exactly one field is
// set; a stream ends with Result or Error. A stream that ends without either
// was cut.
type StreamLine struct {
	Event  *event.Event    `json:"event,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Error          `json:"error,omitempty"`
}
