package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"dray/cmd/internal/ui"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/targets/api"
)

// notYet is said of a host that has not been looked at yet.
const notYet = "connecting"

// seen is what a look at one host of one environment gave.
type seen struct {
	env, host int // where it belongs in the picture
	view      environment.HostStatus
}

// watcher is a status that goes on: every host is looked at by itself, so that
// one which is silent holds up no other.
type watcher struct {
	project *project
	envs    []*pipeline.Environment
	views   []environment.Status
	missing []int    // hosts of each environment that nothing is known of yet
	told    []string // of each environment, what was printed last
}

// watch shows the status of environments until ctx ends.
func (p *project) watch(ctx context.Context, envs []*pipeline.Environment) error {
	w := &watcher{project: p, envs: envs, views: make([]environment.Status, len(envs)), missing: make([]int, len(envs)), told: make([]string, len(envs))}
	ctx, cancel := context.WithCancel(ctx)
	looks := make(chan seen)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for i, env := range envs {
		w.views[i].Hosts = make([]environment.HostStatus, len(env.Hosts))
		w.missing[i] = len(env.Hosts)
		for j, name := range env.Hosts {
			w.views[i].Hosts[j] = environment.HostStatus{Environment: env.Name, Host: name, Error: notYet}
			group.Go(func() {
				p.environments.KeepLooking(ctx, env, name, func(v environment.HostStatus) { send(ctx, looks, seen{i, j, v}) })
			})
		}
		w.sum(i)
	}
	p.app.view.Close()
	if !p.app.settings.JSON && ui.IsTerminal(os.Stdout) && os.Getenv("TERM") != "dumb" {
		return w.draw(ctx, looks)
	}
	return w.tell(ctx, looks)
}

func send(ctx context.Context, to chan<- seen, s seen) {
	select {
	case to <- s:
	case <-ctx.Done():
	}
}

// take brings a look into the picture.
func (w *watcher) take(s seen) {
	v := &w.views[s.env].Hosts[s.host]
	if v.Error == notYet {
		w.missing[s.env]--
	}
	*v = s.view
	w.sum(s.env)
}

func (w *watcher) sum(i int) {
	v := environment.Status{Environment: w.envs[i].Name, Hosts: w.views[i].Hosts}
	v.Sum(w.envs[i])
	w.views[i] = v
}

// tell prints an environment when it has changed: a line, or an object.
func (w *watcher) tell(ctx context.Context, looks <-chan seen) error {
	for {
		select {
		case <-ctx.Done():
			return nil // the reader had enough
		case s := <-looks:
			w.take(s)
			view := &w.views[s.env]
			gist := statusGist(view, w.project.app.settings.JSON)
			if w.missing[s.env] > 0 || gist == w.told[s.env] {
				continue
			}
			w.told[s.env] = gist
			if w.project.app.settings.JSON {
				if err := w.project.app.printResult(view); err != nil {
					return err
				}
			} else if _, err := fmt.Fprintln(w.project.app.out, time.Now().Format(time.TimeOnly), statusLine(view)); err != nil {
				return err
			}
		}
	}
}

// draw keeps the picture on a terminal up to date, in place.
func (w *watcher) draw(ctx context.Context, looks <-chan seen) error {
	tick := time.NewTicker(environment.LookPause) // for what counts seconds
	defer tick.Stop()
	drawn := 0
	for {
		select {
		case <-ctx.Done():
			return nil // the reader had enough
		case s := <-looks:
			w.take(s)
		case <-tick.C:
		}
		var text bytes.Buffer
		if err := w.project.printStatus(&text, w.views); err != nil {
			return err
		}
		width, height, err := term.GetSize(int(os.Stdout.Fd()))
		if err != nil || width < 20 {
			width, height = 80, 24
		}
		lines := fit(text.String(), width, height)
		if err := redraw(w.project.app.out, drawn, lines); err != nil {
			return err
		}
		drawn = len(lines)
	}
}

// fit cuts a text to what a terminal can show and draw again.
func fit(text string, width, height int) []string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if most := max(height-2, 2); len(lines) > most {
		lines = append(lines[:most-1], fmt.Sprintf("… and %d lines more", len(lines)-most+1))
	}
	for i := range lines {
		lines[i] = ui.Clip(lines[i], width-1)
	}
	return lines
}

// redraw puts lines where drawn ones are.
func redraw(out io.Writer, drawn int, lines []string) error {
	var b strings.Builder
	if drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", drawn)
	}
	b.WriteString("\r\x1b[J")
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// statusLine is an environment in one line, for a pipe.
func statusLine(v *environment.Status) string {
	words := []string{v.Environment}
	if v.Release > 0 {
		words = append(words, v.ReleaseNumber().Name())
	}
	for _, name := range sortedNames(v.Services) {
		words = append(words, name+" "+v.Services[name])
	}
	for _, n := range v.Notes {
		words = append(words, "! "+strings.Join(strings.Fields(n), " "))
	}
	return strings.Join(words, "  ")
}

// digits of an error or a drift count seconds or ports: nothing has changed
// when they do.
var digits = regexp.MustCompile(`[0-9]+`)

// statusGist is what of the picture counts as a change: with JSON all of it, otherwise
// what its line is made of. Leases that are renewed change nothing.
func statusGist(v *environment.Status, whole bool) string {
	out := environment.Status{Release: v.Release, Revision: v.Revision, Images: v.Images, Services: v.Services, Hosts: slices.Clone(v.Hosts)}
	for i := range out.Hosts {
		h := &out.Hosts[i]
		h.Error = digits.ReplaceAllString(h.Error, "")
		if h.State == nil {
			continue
		}
		s := *h.State
		if !whole {
			s = api.Environment{Deployment: s.Deployment, Lease: s.Lease, Freeze: s.Freeze, Drift: s.Drift}
		}
		if s.Lease != nil {
			s.Lease = &api.Lease{Fence: s.Lease.Fence, Holder: s.Lease.Holder}
		}
		if s.Deployment != nil {
			d := *s.Deployment
			d.Deadline = time.Time{}
			s.Deployment = &d
		}
		s.Drift = slices.Clone(s.Drift)
		for j := range s.Drift {
			s.Drift[j].Detail = digits.ReplaceAllString(s.Drift[j].Detail, "")
		}
		h.State = &s
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err.Error() // plain values always marshal
	}
	return string(text)
}
