package ui

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/term"
)

// Raw passes every key on as it is, for a program elsewhere, until restore is
// called.
func (a *Asker) Raw(f *os.File) (restore func(), err error) {
	restore, err = a.keep(f)
	if err != nil {
		return nil, fmt.Errorf("setting up the terminal: %w", err)
	}
	if _, err := term.MakeRaw(int(f.Fd())); err != nil {
		restore()
		return nil, fmt.Errorf("setting up the terminal: %w", err)
	}
	return restore, nil
}

// Restore makes the terminal what it was before anything changed its mode. It
// is for a program that ends in the midst of that.
func (a *Asker) Restore() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for restore := range a.restores {
		_ = (*restore)() // best effort at the end
	}
}

// keep notes a terminal's mode, so that Restore brings it back whatever
// happens; restore does it now.
func (a *Asker) keep(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	back := func() error { return term.Restore(fd, before) }
	a.mu.Lock()
	defer a.mu.Unlock()
	a.restores[&back] = struct{}{}
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.restores, &back)
		_ = back() // a terminal that went away has no mode
	}), nil
}
