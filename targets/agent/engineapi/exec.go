package engineapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/moby/moby/api/types/container"

	"dray/targets/runtime"
)

// execCreate is POST /containers/{id}/exec.
func (a *API) execCreate(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	var req container.ExecCreateRequest
	if err := read(r, &req); err != nil {
		return err
	}
	switch {
	case len(req.Cmd) == 0:
		return fault(http.StatusBadRequest, "No exec command specified")
	case req.Privileged:
		return fault(http.StatusNotImplemented, "dray does not do this: Privileged")
	case c.State == runtime.Paused:
		return fault(http.StatusConflict, "container %s is paused, unpause the container before exec", c.ID)
	case c.State != runtime.Running:
		return fault(http.StatusConflict, "container %s is not running", c.ID)
	}
	id, err := a.Engine.ExecCreate(c.ID, runtime.ExecConfig{
		Command: req.Cmd, Env: req.Env, User: req.User, WorkDir: req.WorkingDir, TTY: req.Tty, Stdin: req.AttachStdin,
	})
	if err != nil {
		return err
	}
	if size := req.ConsoleSize; size != nil && req.Tty {
		if err := a.Engine.ExecResize(id, uint16(size[0]), uint16(size[1])); err != nil {
			return err
		}
	}
	respond(w, http.StatusCreated, container.ExecCreateResponse{ID: id})
	return nil
}

// exec finds the exec that the path names.
func (a *API) exec(r *http.Request) (runtime.Exec, error) {
	x, err := a.Engine.ExecInspect(r.PathValue("id"))
	if errors.Is(err, runtime.ErrNotFound) {
		return x, fault(http.StatusNotFound, "No such exec instance: %s", r.PathValue("id"))
	}
	return x, err
}

// execStart is POST /exec/{id}/start. With Detach it answers once the process
// runs; otherwise the connection becomes the process's streams until it ends.
// Why a command can't be started is written there, as Docker does, but for a
// client that asks for it with GET /exec/{id}/json: ?fault=inspect.
func (a *API) execStart(w http.ResponseWriter, r *http.Request) error {
	x, err := a.exec(r)
	if err != nil {
		return err
	}
	var req container.ExecStartRequest
	if err := read(r, &req); err != nil {
		return err
	}
	if !x.Started.IsZero() {
		return fault(http.StatusConflict, "exec instance %s has been started before", x.ID)
	}
	if size := req.ConsoleSize; size != nil && x.Config.TTY {
		if err := a.Engine.ExecResize(x.ID, uint16(size[0]), uint16(size[1])); err != nil {
			return err
		}
	}
	ctx := context.WithoutCancel(r.Context()) // the process goes on without its client
	if req.Detach {
		if err := a.Engine.ExecDetached(ctx, x.ID); err != nil {
			return execFault(err)
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	s, err := takeOver(w, r, x.Config.TTY)
	if err != nil {
		return err
	}
	defer s.close()
	streams := runtime.Streams{}
	streams.Stdout, streams.Stderr = outputs(s.conn, x.Config.TTY)
	if x.Config.Stdin {
		streams.Stdin = s.input
	}
	if err := a.Engine.ExecStart(ctx, x.ID, streams); err != nil && r.URL.Query().Get("fault") != "inspect" {
		// The head was sent. The client sees the text, and the exit code of a
		// command that can't be started.
		out := streams.Stderr
		if out == nil {
			out = streams.Stdout
		}
		_, _ = out.Write([]byte(err.Error() + "\r\n")) // it may have gone
	}
	return nil
}

func execFault(err error) error {
	if errors.Is(err, runtime.ErrState) || errors.Is(err, runtime.ErrNotFound) {
		return err
	}
	return fault(http.StatusBadRequest, "%v", err)
}

// execResize is POST /exec/{id}/resize.
func (a *API) execResize(w http.ResponseWriter, r *http.Request) error {
	x, err := a.exec(r)
	if err != nil {
		return err
	}
	rows, cols, err := dimensions(r)
	if err != nil {
		return err
	}
	if err := a.Engine.ExecResize(x.ID, rows, cols); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// inspectedExec is Docker's answer, and why the command could not be started.
type inspectedExec struct {
	container.ExecInspectResponse
	Fault string `json:",omitempty"`
}

// execInspect is GET /exec/{id}/json.
func (a *API) execInspect(w http.ResponseWriter, r *http.Request) error {
	x, err := a.exec(r)
	if err != nil {
		return err
	}
	answer := container.ExecInspectResponse{
		ID: x.ID, Running: x.Running, ContainerID: x.ContainerID, Pid: x.Pid,
		OpenStdin: x.Config.Stdin, OpenStdout: true, OpenStderr: true, CanRemove: !x.Running, DetachKeys: []byte{},
		ProcessConfig: &container.ExecProcessConfig{
			Tty: x.Config.TTY, Entrypoint: x.Config.Command[0], Arguments: x.Config.Command[1:], User: x.Config.User,
		},
	}
	if !x.Finished.IsZero() {
		answer.ExitCode = &x.ExitCode
	}
	return ok(w, inspectedExec{answer, x.Fault})
}
