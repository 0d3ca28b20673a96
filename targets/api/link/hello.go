package link

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Protocol is the version of what this package describes.
const Protocol = 1

// Preface is the line, without its newline, that starts drayd connect's
// output. What a host's shell prints before it (a greeting in .bashrc) is
// skipped.
const Preface = "dray-connect 1"

// Hello is the control line.
type Hello struct {
	V       int    `json:"v"`              // Protocol
	Version string `json:"version"`        // of the installed bundle
	Bundle  string `json:"bundle"`         // its digest; "" when drayd runs from somewhere else
	API     int    `json:"api"`            // api.Version
	Arch    string `json:"arch"`           // GOARCH
	Peer    string `json:"peer"`           // path of the socket whose connections reach the client
	Role    string `json:"role,omitempty"` // that drayd connect was started with; "": everything is allowed
	Error   string `json:"error,omitempty"`
}

const longestHello = 64 << 10 // bytes

// WriteHello writes the control line.
func WriteHello(w io.Writer, h Hello) error {
	b, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("writing the control line: %w", err)
	}
	if _, err := w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("writing the control line: %w", err)
	}
	return nil
}

// ReadHello reads the control line. A line that carries an Error, or another
// protocol, is returned together with an error.
func ReadHello(r io.Reader) (Hello, error) {
	line, err := bufio.NewReader(io.LimitReader(r, longestHello)).ReadBytes('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Hello{}, fmt.Errorf("reading the control line: %w", err)
	}
	var h Hello
	if err := json.Unmarshal(line, &h); err != nil {
		return Hello{}, fmt.Errorf("reading the control line: %w", err)
	}
	if h.Error != "" {
		return h, errors.New(h.Error)
	}
	if h.V != Protocol {
		return h, fmt.Errorf("drayd on the host speaks version %d of the connection, this dray speaks %d", h.V, Protocol)
	}
	if !strings.HasPrefix(h.Peer, "/") {
		return h, fmt.Errorf("reading the control line: peer %q is not an absolute path", h.Peer)
	}
	return h, nil
}
