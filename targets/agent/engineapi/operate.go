package engineapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"

	"dray/targets/runtime"
)

// start is POST /containers/{id}/start.
func (a *API) start(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	if live(c) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return a.done(w, a.Engine.Start(r.Context(), c.ID))
}

// stop is POST /containers/{id}/stop. It does not end with the client: a
// container that was asked to stop is stopped.
func (a *API) stop(w http.ResponseWriter, r *http.Request) error {
	c, grace, err := a.graceful(r)
	if err != nil {
		return err
	}
	err = a.Engine.Stop(context.WithoutCancel(r.Context()), c.ID, grace)
	if err == nil && !live(c) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return a.done(w, err)
}

// restart is POST /containers/{id}/restart.
func (a *API) restart(w http.ResponseWriter, r *http.Request) error {
	c, grace, err := a.graceful(r)
	if err != nil {
		return err
	}
	return a.done(w, a.Engine.Restart(context.WithoutCancel(r.Context()), c.ID, grace))
}

// graceful finds the container and the time that it gets to end; nil is its
// own, a negative one is without end.
func (a *API) graceful(r *http.Request) (runtime.Container, *time.Duration, error) {
	c, err := a.container(r)
	if err != nil {
		return c, nil, err
	}
	if r.FormValue("signal") != "" && r.FormValue("signal") != c.Spec.StopSignal {
		return c, nil, fault(http.StatusNotImplemented, "a container is stopped with its own signal; use kill to send another")
	}
	if r.FormValue("t") == "" {
		return c, nil, nil
	}
	seconds, err := number(r, "t", 0)
	grace := time.Duration(seconds) * time.Second
	return c, &grace, err
}

// kill is POST /containers/{id}/kill.
func (a *API) kill(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	signal := r.FormValue("signal")
	if signal != "" {
		if _, err := runtime.ParseSignal(signal); err != nil {
			return fault(http.StatusBadRequest, "Invalid signal: %s", signal)
		}
	}
	if !live(c) {
		return fault(http.StatusConflict, "cannot kill container: %s: container %s is not running", r.PathValue("id"), c.ID)
	}
	return a.done(w, a.Engine.Kill(r.Context(), c.ID, signal))
}

// pause is POST /containers/{id}/pause.
func (a *API) pause(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	return a.done(w, a.Engine.Pause(r.Context(), c.ID))
}

// unpause is POST /containers/{id}/unpause.
func (a *API) unpause(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	return a.done(w, a.Engine.Unpause(r.Context(), c.ID))
}

// remove is DELETE /containers/{id}.
func (a *API) remove(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	force := flag(r, "force")
	if release := c.Spec.Labels[runtime.LabelRelease]; release != "" && !force {
		return fault(http.StatusConflict, "container %s belongs to release %s of %s %s, which could not be gone back to without it; dray down ends an environment, force removes only this container",
			c.Spec.Name, release, c.Spec.Labels[runtime.LabelProject], c.Spec.Labels[runtime.LabelEnvironment])
	}
	if live(c) && !force {
		return fault(http.StatusConflict, "cannot remove container %q: container is %s: stop the container before removing or force remove", "/"+c.Spec.Name, c.State)
	}
	return a.done(w, a.Engine.Remove(context.WithoutCancel(r.Context()), c.ID, force))
}

// done answers 204 unless there is an error.
func (a *API) done(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// wait is POST /containers/{id}/wait. The head of the answer is sent as soon
// as the wait has begun: clients start the container then.
func (a *API) wait(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	condition := first(r.FormValue("condition"), runtime.WaitNotRunning)
	switch condition {
	case runtime.WaitNotRunning, runtime.WaitNextExit, runtime.WaitRemoved:
	default:
		return fault(http.StatusBadRequest, "invalid condition: %q", condition)
	}
	begun := false
	c, err = a.Engine.Wait(r.Context(), c.ID, condition, func() {
		begun = true
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush() // a client that has gone shows below
	})
	if !begun {
		return err
	}
	if r.Context().Err() != nil {
		return nil
	}
	answer := container.WaitResponse{StatusCode: int64(c.ExitCode)}
	switch {
	case err != nil && !errors.Is(err, runtime.ErrNotFound):
		answer.Error = &container.WaitExitError{Message: err.Error()}
	case c.Error != "" && c.Started.IsZero():
		answer.Error = &container.WaitExitError{Message: c.Error}
	}
	_ = json.NewEncoder(w).Encode(answer) // the client may have gone
	return nil
}

// resize is POST /containers/{id}/resize.
func (a *API) resize(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	rows, cols, err := dimensions(r)
	if err != nil {
		return err
	}
	if err := a.Engine.Resize(c.ID, rows, cols); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func dimensions(r *http.Request) (rows, cols uint16, err error) {
	h, err := strconv.ParseUint(r.FormValue("h"), 10, 16)
	width, err2 := strconv.ParseUint(r.FormValue("w"), 10, 16)
	if err := errors.Join(err, err2); err != nil {
		return 0, 0, fault(http.StatusBadRequest, "invalid size of a terminal: %v", err)
	}
	return uint16(h), uint16(width), nil
}

// top is GET /containers/{id}/top. The columns are those of "ps -ef", whatever
// is asked for.
func (a *API) top(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	if !live(c) {
		return fault(http.StatusConflict, "container %s is not running", c.ID)
	}
	processes, err := a.Engine.Top(c.ID)
	if err != nil {
		return err
	}
	answer := container.TopResponse{Titles: []string{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}, Processes: [][]string{}}
	for _, p := range processes {
		cpu := p.CPU.Truncate(time.Second)
		share := 0
		if age := time.Since(p.Started); age > 0 {
			share = int(100 * p.CPU / age)
		}
		answer.Processes = append(answer.Processes, []string{
			strconv.Itoa(int(p.UID)), strconv.Itoa(p.PID), strconv.Itoa(p.PPID), strconv.Itoa(share), p.Started.Local().Format("15:04"), "?",
			fmt.Sprintf("%02d:%02d:%02d", int(cpu.Hours()), int(cpu.Minutes())%60, int(cpu.Seconds())%60), p.Command,
		})
	}
	return ok(w, answer)
}
