package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// serveControl answers on the control socket, which does not count as use:
//
//	GET  /status          Status
//	POST /stop            stop once running builds have ended
//	POST /stop?if=idle    409 when somebody is connected
//
// The returned function ends it.
func serveControl(o Embedded, builds *idleListener, group *errgroup.Group) (stop func() error, err error) {
	l, err := listenUnix(o.control())
	if err != nil {
		return nil, err
	}
	id, err := o.readIdentity()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		open, since := builds.state()
		// A client that has gone already does not need its answer.
		_ = json.NewEncoder(w).Encode(Status{
			PID: os.Getpid(), Version: id.Version, Started: id.Started,
			Clients: open, IdleSince: since, Socket: o.socket(), Log: o.LogFile(),
		})
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("if") != "idle" {
			_ = builds.Close() // the socket's file may be gone already
		} else if !builds.closeIfIdle() {
			http.Error(w, "in use", http.StatusConflict)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	group.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return func() error {
		// Whoever asked for the stop is still being answered.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(ctx) == nil {
			return nil
		}
		return server.Close()
	}, nil
}
