package engineapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/events"

	hostapi "dray/targets/api"
	"dray/targets/runtime"
)

// keptEvents is how many events of the past can be asked for.
const keptEvents = 1000

// history is the events of the past, and those who follow.
type history struct {
	mu        sync.Mutex
	past      []events.Message // oldest first
	followers map[chan events.Message]bool
}

func newHistory() *history { return &history{followers: map[chan events.Message]bool{}} }

// Run keeps events for those who ask later, and removes containers that were
// created to be removed when they end, until ctx ends.
func (a *API) Run(ctx context.Context) error {
	changes := a.Engine.Subscribe(ctx)
	for _, c := range a.Engine.List() {
		if c.State == runtime.Exited && !c.Started.IsZero() {
			a.sweep(ctx, c)
		}
	}
	for change := range changes {
		if m, shown := message(change); shown {
			a.events.add(m)
		}
		if change.Action == "die" {
			a.sweep(ctx, change.Container)
		}
	}
	return nil
}

// sweep removes an ended container that asked for it (docker run --rm).
func (a *API) sweep(ctx context.Context, c runtime.Container) {
	if c.Spec.Labels[labelAutoRemove] == "" || c.RunsAgain() {
		return
	}
	if err := a.Engine.Remove(context.WithoutCancel(ctx), c.ID, false); err != nil {
		a.Log.Warn("removing an ended container", "container", c.Spec.Name, "error", err)
	}
}

// message is a change in the Engine's form. Docker does not tell of a health
// that is starting, or that is not checked.
func message(c runtime.Change) (events.Message, bool) {
	switch c.Action {
	case "health_status: " + hostapi.HealthStarting, "health_status: " + hostapi.HealthNone, "health_status: ":
		return events.Message{}, false
	}
	attributes := map[string]string{"name": c.Container.Spec.Name, "image": imageName(c.Container)}
	for k, v := range c.Container.Spec.Labels {
		attributes[k] = v
	}
	if c.Action == "die" {
		attributes["exitCode"] = strconv.Itoa(c.Container.ExitCode)
	}
	return events.Message{
		Type: events.ContainerEventType, Action: events.Action(c.Action), Scope: "local",
		Actor: events.Actor{ID: c.Container.ID, Attributes: attributes}, Time: c.Time.Unix(), TimeNano: c.Time.UnixNano(),
	}, true
}

func (h *history) add(m events.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.past = append(h.past, m)
	if over := len(h.past) - keptEvents; over > 0 {
		h.past = slices.Delete(h.past, 0, over)
	}
	for f := range h.followers {
		select {
		case f <- m:
		default: // it does not read: it is dropped, so that it notices
			delete(h.followers, f)
			close(f)
		}
	}
}

// follow returns the past, and what comes. stop must be called.
func (h *history) follow() (past []events.Message, next <-chan events.Message, stop func()) {
	f := make(chan events.Message, 256)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.followers[f] = true
	return slices.Clone(h.past), f, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.followers, f)
	}
}

// streamEvents is GET /events: those since a time, if one is given, then those
// that come, until a time or the client's end.
func (a *API) streamEvents(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r.FormValue("filters"), "type", "event", "container", "image", "label", "scope", "daemon", "network", "volume")
	if err != nil {
		return err
	}
	since, err := moment(r, "since")
	if err != nil {
		return err
	}
	until, err := moment(r, "until")
	if err != nil {
		return err
	}
	ctx := r.Context()
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	past, next, stop := a.events.follow()
	defer stop()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	out := json.NewEncoder(w)
	for _, m := range past {
		at := time.Unix(0, m.TimeNano)
		if since.IsZero() || at.Before(since) || !until.IsZero() && at.After(until) || !f.matchEvent(m) {
			continue
		}
		if out.Encode(m) != nil {
			return nil
		}
	}
	for {
		if http.NewResponseController(w).Flush() != nil {
			return nil // the client has gone
		}
		select {
		case <-ctx.Done():
			return nil
		case m, open := <-next:
			if !open {
				return nil
			}
			if f.matchEvent(m) && out.Encode(m) != nil {
				return nil
			}
		}
	}
}

func (f filters) matchEvent(m events.Message) bool {
	name, image := m.Actor.Attributes["name"], m.Actor.Attributes["image"]
	return f.is("type", string(m.Type)) &&
		f.any("event", func(v string) bool {
			return v == string(m.Action) || strings.HasPrefix(string(m.Action), v+":")
		}) &&
		f.any("container", func(v string) bool { return v == name || strings.HasPrefix(m.Actor.ID, v) }) &&
		f.is("image", image) && f.is("scope", m.Scope) && f.labels(m.Actor.Attributes) &&
		len(f["network"]) == 0 && len(f["volume"]) == 0 && len(f["daemon"]) == 0
}
