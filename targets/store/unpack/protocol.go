package unpack

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// request is the first line that the child reads; the layer's bytes follow.
type request struct {
	Dir      string `json:"dir"`
	Overlay  bool   `json:"overlay"`
	MaxLayer int64  `json:"max_layer"`
	Budget   Amount `json:"budget"` // what is left of the pull's
	Memory   int64  `json:"memory"` // bytes of its own that the child may add to those it began with
}

// report is a line that the child writes: one of its fields.
type report struct {
	Took     *Amount       `json:"took,omitempty"`     // since the report before
	Implicit string        `json:"implicit,omitempty"` // a folder that the tar has no entry for
	Opaque   string        `json:"opaque,omitempty"`   // a folder that hides those of the layers below
	Done     digest.Digest `json:"done,omitempty"`     // the tar's; the last report
	Fault    *fault        `json:"fault,omitempty"`    // or this is
}

// maxReport is the longest line that a child may write: a name, each of its
// bytes escaped.
const maxReport = 8 * maxName

// errProtocol is the fault of a child that does not answer as one does.
var errProtocol = errors.New("the process that unpacks it gave an answer that can't be read")

// fault is an error on its way to the parent.
type fault struct {
	Text  string        `json:"text"`
	Kind  string        `json:"kind,omitempty"`  // of kinds
	Errno syscall.Errno `json:"errno,omitempty"` // the kernel's, such as ENOSPC
}

// kinds are the faults on which the parent decides.
var kinds = map[string]error{"size": ErrTooLarge, "room": ErrNoRoom}

func newFault(err error) *fault {
	f := &fault{Text: err.Error()}
	const enough = 1024 // a text may hold names
	if len(f.Text) > enough {
		f.Text = f.Text[:enough] + "…"
	}
	for kind, is := range kinds {
		if errors.Is(err, is) {
			f.Kind = kind
		}
	}
	errors.As(err, &f.Errno)
	return f
}

func (f *fault) Error() string { return f.Text }

// Is matches what the error was in the child.
func (f *fault) Is(target error) bool {
	return f.Kind != "" && kinds[f.Kind] == target || f.Errno != 0 && target == error(f.Errno)
}

// reporter writes reports. It has what is left of the budget, which it keeps to
// the byte; the parent, which has that of all layers, is told now and then.
type reporter struct {
	mu    sync.Mutex
	out   *bufio.Writer
	share Share
	since Amount // the last report
}

func newReporter(w io.Writer, left Amount) *reporter {
	return &reporter{out: bufio.NewWriter(w), share: Share{of: &budget{left: left}}}
}

// often is how much a layer takes until the parent is told.
var often = Amount{Stream: 4 << 20, Claimed: 16 << 20, Entries: 1000, Names: 64 << 10}

func (r *reporter) take(a Amount) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.share.take(a); err != nil {
		return err
	}
	r.since.add(a, 1)
	if s := r.since; s.Stream < often.Stream && s.Claimed < often.Claimed && s.Entries < often.Entries && s.Names < often.Names {
		return nil
	}
	return r.flush()
}

// flush tells the parent what was taken.
func (r *reporter) flush() error {
	since := r.since
	r.since = Amount{}
	return errors.Join(r.write(report{Took: &since}), r.out.Flush())
}

func (r *reporter) write(m report) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = r.out.Write(append(b, '\n'))
	return err
}

// folder reports a folder. Its name counts.
func (r *reporter) folder(m report) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := Amount{Folders: folderCost(m)}
	if err := r.share.take(a); err != nil {
		return err
	}
	return r.write(m)
}

// folderCost is what the parent keeps of a folder's report.
func folderCost(m report) int64 { return int64(len(m.Implicit)+len(m.Opaque)) + 32 }

// end writes the last report.
func (r *reporter) end(d digest.Digest, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := report{Done: d}
	if err != nil {
		last = report{Fault: newFault(err)}
	}
	return errors.Join(r.flush(), r.write(last), r.out.Flush())
}

// Result is a layer that was unpacked.
type Result struct {
	DiffID   digest.Digest // of the tar
	Implicit []string      // folders that the tar has no entry for, parents first
	Opaque   []string      // folders that hide those of the layers below; overlay alone
}

// receive reads a child's reports until the last one and takes what they name.
func receive(r io.Reader, share *Share) (res Result, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxReport)
	for lines.Scan() {
		var m report
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return res, fmt.Errorf("%w: %w", errProtocol, err)
		}
		switch {
		case m.Fault != nil:
			return res, m.Fault
		case m.Done != "":
			res.DiffID = m.Done
			return res, m.Done.Validate()
		case m.Took != nil:
			err = share.take(*m.Took)
		default:
			err = share.take(Amount{Folders: folderCost(m)})
		}
		if err != nil {
			return res, err
		}
		if m.Implicit != "" {
			res.Implicit = append(res.Implicit, m.Implicit)
		}
		if m.Opaque != "" {
			res.Opaque = append(res.Opaque, m.Opaque)
		}
	}
	if err := lines.Err(); err != nil {
		return res, fmt.Errorf("%w: %w", errProtocol, err)
	}
	return res, io.ErrUnexpectedEOF
}
