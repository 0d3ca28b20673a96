package pipeline

import "errors"

// Class says in what state a failure left things; it decides dray's exit code.
type Class int

// Classes of failure. The greatest one of a chain of errors wins: that hosts
// were left half changed is never hidden by why it came to that.
const (
	Failed      Class = iota // nothing was changed
	Refused                  // by a gate, a lock, missing evidence, or for want of a yes; nothing was changed
	Reverted                 // everything that had begun went back
	NotReverted              // hosts are left that did not go back, or it is not known whether they did
)

// Hint is what a failure tells a person beside its text. Empty fields are left
// to the errors that it wraps.
type Hint struct {
	Text       string // what failed, where the error's own text says it worse
	Detail     string // why, and the last words of what failed; several lines
	Conclusion string // what state things are in now
	Next       string // what to type next
	Class      Class

	Environment string        // what it is about, where that is known
	Release     ReleaseNumber // as above
}

// Hinter is an error that carries its own Hint. HintOf asks the outermost one
// first: who wraps an error knows more of what was asked for.
type Hinter interface {
	error
	Hint() Hint
}

// HintOf gathers what err and the errors that it wraps have to tell: of each
// field the outermost that is set.
func HintOf(err error) Hint {
	var h Hint
	h.gather(err)
	return h
}

func (h *Hint) gather(err error) {
	if err == nil {
		return
	}
	if hinter, ok := err.(Hinter); ok { //nolint:errorlint // the walk unwraps by itself
		h.fill(hinter.Hint())
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			h.gather(e)
		}
		return
	}
	h.gather(errors.Unwrap(err))
}

// fill takes what is still unset from an inner hint.
func (h *Hint) fill(inner Hint) {
	for _, f := range []struct {
		set  *string
		from string
	}{{&h.Text, inner.Text}, {&h.Detail, inner.Detail}, {&h.Conclusion, inner.Conclusion}, {&h.Next, inner.Next}, {&h.Environment, inner.Environment}} {
		if *f.set == "" {
			*f.set = f.from
		}
	}
	if !h.Release.Known() {
		h.Release = inner.Release
	}
	h.Class = max(h.Class, inner.Class)
}

// WithHint returns err with a hint of the caller's own, which wins over those
// of the errors that err wraps.
func WithHint(err error, h Hint) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: h}
}

type hinted struct {
	err  error
	hint Hint
}

func (e *hinted) Error() string { return e.err.Error() }

// Unwrap returns the error that the hint is about.
func (e *hinted) Unwrap() error { return e.err }

// Hint returns the hint.
func (e *hinted) Hint() Hint { return e.hint }
