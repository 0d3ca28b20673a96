package ui

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"dray/pipeline/event"
	"dray/pipeline/phrase"
)

// terminalView draws live progress. What has ended is printed once and scrolls
// away; what goes on is redrawn below it.
type terminalView struct {
	out   *os.File
	color bool

	mu    sync.Mutex
	rows  []*row // what goes on, in the order of its start
	drawn int    // lines of the live part on the screen
	left  bool   // the screen is somebody else's until Return
	stop  chan struct{}
	done  chan struct{}
}

func newTerminalView(out *os.File) *terminalView {
	v := &terminalView{out: out, color: InColor(out), stop: make(chan struct{}), done: make(chan struct{})}
	go v.tick()
	return v
}

// tick redraws ten times a second, for clocks and rates.
func (v *terminalView) tick() {
	defer close(v.done)
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-t.C:
			v.mu.Lock()
			if len(v.rows) > 0 && !v.left {
				v.draw("")
			}
			v.mu.Unlock()
		}
	}
}

// Close leaves what is live on the screen as it is and stops drawing. That hosts
// were connected to is no news by then.
func (v *terminalView) Close() {
	close(v.stop)
	<-v.done
	v.mu.Lock()
	defer v.mu.Unlock()
	var last strings.Builder
	for _, r := range slices.DeleteFunc(v.rows, (*row).onlyConnects) {
		last.WriteString(r.text(v, time.Now()))
	}
	v.rows = nil
	v.draw(last.String())
}

// Leave leaves the live part as it is above, without mere connections, and
// begins a new one below what is written next.
func (v *terminalView) Leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rows = slices.DeleteFunc(v.rows, (*row).onlyConnects)
	v.draw("")
	v.drawn, v.left = 0, true
}

// Return draws again, below what was written meanwhile.
func (v *terminalView) Return() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.left = false
}

// Emit takes an event into the picture.
func (v *terminalView) Emit(e event.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e.Type {
	case event.RunStarted:
		v.draw(e.Text + "\n\n")
	case event.StageStarted:
		if isPart(e) {
			v.row(e).part(e)
			break
		}
		r := v.row(e)
		r.began, r.staged = e.Time, true
		v.draw("")
	case event.StageFinished:
		v.finish(e)
	case event.Notice:
		v.draw(phrase.Words(place(e), e.Text) + "\n")
	case event.Warning:
		v.draw(v.paint(yellow, "! ") + phrase.Words(place(e), e.Text, next(e.Next)) + "\n")
	default:
		v.row(e).take(e)
	}
}

// finish prints a stage's last line and takes it off the live part.
func (v *terminalView) finish(e event.Event) {
	r := v.row(e)
	if isPart(e) {
		r.part(e)
		v.draw("")
		return
	}
	r.end(e)
	for i, other := range v.rows {
		if other == r {
			v.rows = append(v.rows[:i], v.rows[i+1:]...)
		}
	}
	v.draw(r.text(v, e.Time))
}

// isPart tells whether an event is of a stage inside a rollout, which gets a
// line in the rollout's row.
func isPart(e event.Event) bool {
	return e.Environment != "" && (e.Stage == "verify" || e.Stage == "task")
}

// row finds the row that an event belongs to: builds and pushes by subject,
// everything else by environment.
func (v *terminalView) row(e event.Event) *row {
	key := e.Environment
	if e.Environment == "" {
		key = e.Stage + " " + rowSubject(e)
	}
	for _, r := range v.rows {
		if r.key == key {
			return r
		}
	}
	r := newRow(key, e)
	v.rows = append(v.rows, r)
	return r
}

func rowSubject(e event.Event) string {
	subject, _, _ := strings.Cut(e.Subject, "/")
	return subject
}

// draw replaces the live part: permanent goes above it, for good.
func (v *terminalView) draw(permanent string) {
	width, height, err := term.GetSize(int(v.out.Fd()))
	if err != nil || width < 20 {
		width, height = 80, 24
	}
	var live []string
	for _, r := range v.rows {
		live = append(live, strings.Split(strings.TrimSuffix(r.text(v, time.Now()), "\n"), "\n")...)
	}
	if most := height - 2; len(live) > most && most > 0 {
		live = append(live[:most-1], fmt.Sprintf("… and %d more", len(live)-most+1))
	}
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	b.WriteString("\r\x1b[J")
	b.WriteString(permanent)
	for _, line := range live {
		b.WriteString(Clip(line, width-1) + "\n")
	}
	v.drawn = len(live)
	_, _ = io.WriteString(v.out, b.String()) // a terminal that went away is not this run's fault
}

func (v *terminalView) paint(code, s string) string {
	if !v.color {
		return s
	}
	return paint(code, s)
}

// Clip cuts a line to width columns, not counting colours.
func Clip(line string, width int) string {
	columns, escape := 0, false
	for i, c := range line {
		switch {
		case c == '\x1b':
			escape = true
		case escape:
			escape = c != 'm'
		default:
			if columns += runewidth.RuneWidth(c); columns > width {
				return line[:i] + "\x1b[0m"
			}
		}
	}
	return line
}
