package engineapi

import (
	"context"
	"net/http"

	"dray/targets/logs"
	"dray/targets/runtime"
)

// attach is POST /containers/{id}/attach: the connection becomes the
// container's streams, from now on, or from its start with "logs".
func (a *API) attach(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	if c.State == runtime.Paused {
		return fault(http.StatusConflict, "container %s is paused, unpause the container before attach", c.ID)
	}
	if flag(r, "stream") && c.State == runtime.Exited {
		return fault(http.StatusConflict, "container %s is not running", c.ID)
	}
	stdin := flag(r, "stdin") && c.Spec.OpenStdin
	stdout, stderr := flag(r, "stdout") || c.Spec.TTY && flag(r, "stderr"), flag(r, "stderr")
	var joined *runtime.Attachment
	if flag(r, "stream") && !flag(r, "logs") {
		// Before the answer's head: whoever has that starts the container, whose
		// first words are not to be missed.
		if joined, err = a.Engine.Join(c.ID, stdin, stdout, stderr); err != nil {
			return err
		}
		defer joined.Close()
	}
	s, err := takeOver(w, r, c.Spec.TTY)
	if err != nil {
		return err
	}
	defer s.close()
	streams := runtime.Streams{}
	out, errOut := outputs(s.conn, c.Spec.TTY)
	if stdout {
		streams.Stdout = out
	}
	if stderr {
		streams.Stderr = errOut
	}
	ctx := context.WithoutCancel(r.Context()) // net/http knows nothing of a connection that was taken over
	if flag(r, "logs") {
		if err := a.replay(ctx, c, streams); err != nil {
			return nil // the client has gone
		}
	}
	if !flag(r, "stream") {
		return nil
	}
	if stdin {
		streams.Stdin = s.input
	}
	if joined != nil {
		err = joined.Copy(ctx, streams)
	} else {
		err = a.Engine.Attach(ctx, c.ID, streams, nil)
	}
	if err != nil {
		a.Log.Debug("attached", "container", c.Spec.Name, "error", err) // the connection's end says so to the client
	}
	return nil
}

// replay writes what a container has printed so far.
func (a *API) replay(ctx context.Context, c runtime.Container, to runtime.Streams) error {
	return a.Engine.Logs(ctx, c.ID, logs.Query{}, func(rec logs.Record) error {
		out := to.Stdout
		if rec.Stream == logs.Stderr && !c.Spec.TTY {
			out = to.Stderr
		}
		if out == nil {
			return nil
		}
		_, err := out.Write(lineOf(rec))
		return err
	})
}

// lineOf is a record as the container printed it.
func lineOf(rec logs.Record) []byte {
	if rec.Partial {
		return rec.Text
	}
	return append(append(make([]byte, 0, len(rec.Text)+1), rec.Text...), '\n')
}
