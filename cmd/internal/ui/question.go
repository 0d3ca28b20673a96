package ui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
)

// Reply is what came of a question at the terminal.
type Reply int

// Replies.
const (
	Unanswered Reply = iota // nobody was there, or no answer was understood
	No
	Yes
)

// mostAsked is how often a question is put whose answer is neither yes nor no.
const mostAsked = 3

// Asker asks the person at the terminal. One question stands at a time, whoever
// asks: the others wait. Answers come from the terminal itself, so that what is
// piped into dray answers nothing. A question ends with its context, and leaves
// the terminal as it was.
type Asker struct {
	screen *Screen
	open   func() (*tty, error)
	turn   chan struct{} // holds one token; who has it may ask

	mu       sync.Mutex
	tty      *tty
	restores map[*func() error]struct{} // what makes the terminal what it was
}

// tty is the terminal, and the one reader of its lines.
type tty struct {
	in, out *os.File
	reader  *bufio.Reader
	reading bool // a read is under way, whose line nobody has taken
	lines   chan typed
}

// typed is a line that somebody typed, without its end.
type typed struct {
	text string
	err  error
}

// NewAsker returns an Asker. Nothing is drawn on the screen while it asks.
func NewAsker(screen *Screen) *Asker {
	a := &Asker{screen: screen, open: openTTY, turn: make(chan struct{}, 1), restores: map[*func() error]struct{}{}}
	a.turn <- struct{}{}
	return a
}

// CanAsk tells whether somebody can answer: progress is shown on a terminal, and
// this program is in its foreground.
func (a *Asker) CanAsk() bool { return IsTerminal(os.Stderr) && a.terminal() != nil }

// Confirm asks for one of these words, and again while the answer is neither one
// of them nor a no. It fails only when ctx ends first, with the cause.
func (a *Asker) Confirm(ctx context.Context, question string, yes ...string) (Reply, error) {
	reply := Unanswered
	err := a.ask(ctx, func(t *tty) error {
		for range mostAsked {
			answer, err := t.ask(ctx, question)
			if err != nil {
				return err
			}
			is := func(word string) bool { return strings.EqualFold(word, strings.TrimSpace(answer)) }
			switch {
			case slices.ContainsFunc(yes, is):
				reply = Yes
				return nil
			case is("n"), is("no"):
				reply = No
				return nil
			}
			question = fmt.Sprintf("That is neither %q nor \"no\". Which is it? ", yes[0])
		}
		return nil
	})
	return reply, err
}

// Hidden asks for a line that is not shown while it is typed. It fails where
// nobody can be asked, and with the cause when ctx ends.
func (a *Asker) Hidden(ctx context.Context, question string) ([]byte, error) {
	var answer string
	err := a.ask(ctx, func(t *tty) error {
		restore, err := a.keep(t.in)
		if err != nil {
			return fmt.Errorf("hiding what is typed: %w", err)
		}
		defer restore()
		if err := echoOff(t.in); err != nil {
			return fmt.Errorf("hiding what is typed: %w", err)
		}
		answer, err = t.ask(ctx, question)
		fmt.Fprintln(t.out) // the one that was typed is not shown
		return err
	})
	return []byte(answer), err
}

// ask gives do the terminal, once it is its turn. The end of input is no error:
// nothing was answered.
func (a *Asker) ask(ctx context.Context, do func(*tty) error) error {
	select {
	case <-a.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { a.turn <- struct{}{} }()
	t := a.terminal()
	if t == nil {
		return errNoTerminal
	}
	defer a.screen.Pause()()
	if err := do(t); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// errNoTerminal is that nobody can be asked.
var errNoTerminal = errors.New("there is no terminal to ask at")

// terminal opens the terminal once; nil where there is none.
func (a *Asker) terminal() *tty {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tty == nil {
		t, err := a.open()
		if err != nil {
			return nil // without one, nobody is asked
		}
		a.tty = t
	}
	if !inForeground(a.tty.in) {
		return nil // to read would stop this program
	}
	return a.tty
}

// ask shows the question and reads a line, until ctx ends.
func (t *tty) ask(ctx context.Context, question string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx)
	}
	if _, err := io.WriteString(t.out, question); err != nil {
		return "", io.EOF // a terminal that went away answers nothing
	}
	line, err := t.next(ctx)
	if ctx.Err() != nil && err != nil {
		fmt.Fprintln(t.out) // what follows begins on its own line
		return "", context.Cause(ctx)
	}
	return line, err
}

// next returns the next line that is typed. A read of a terminal can't be taken
// back: one that ctx leaves behind goes on, and its line is the next one's.
func (t *tty) next(ctx context.Context) (string, error) {
	if !t.reading {
		t.reading = true
		go func() { // ends with a line, or with the program
			text, err := t.reader.ReadString('\n')
			t.lines <- typed{strings.TrimRight(text, "\r\n"), err}
		}()
	}
	select {
	case l := <-t.lines:
		t.reading = false
		return l.text, l.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func newTTY(in, out *os.File) *tty {
	return &tty{in: in, out: out, reader: bufio.NewReader(in), lines: make(chan typed, 1)}
}
