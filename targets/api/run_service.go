package api

import (
	"context"
	"net/http"

	"dray/pipeline/event"
)

// RouteRunService runs one more container of a service, beside those of the
// release, as long as the call lasts: RunService → stream ServiceRun.
//
//	client                                agent
//	POST …/services/web/runs ───────────► creates the container
//	         ◄── event instance.state, staged; Subject: the container's id
//	POST /containers/{id}/attach ───────► (Docker Engine API)
//	POST /containers/{id}/start ────────►
//	         … its streams, until it ends …
//	         ◄── result: ServiceRun       the container is gone
//
// When the client goes away, the container is stopped, and removed too. When the
// agent does, by an upgrade or a crash, the container runs on: its client asks
// the next agent again, with the same Key and Rejoin, gets the event with the
// state starting, and the result.
const RouteRunService = "POST " + environmentPattern + "/services/{service}/runs"

// RunService says what to run. The container has all that the service's have,
// but for its published ports, its name and its check.
type RunService struct {
	Entrypoint []string `json:"entrypoint,omitempty"` // instead of the service's, or its image's
	Command    []string `json:"command,omitempty"`    // likewise
	Env        []string `json:"env,omitempty"`        // "K=V"; wins over the service's
	User       string   `json:"user,omitempty"`
	WorkDir    string   `json:"workdir,omitempty"`
	TTY        bool     `json:"tty,omitempty"`
	Stdin      bool     `json:"stdin,omitempty"`
	Key        string   `json:"key,omitempty"`    // names the run, to find it again
	Rejoin     bool     `json:"rejoin,omitempty"` // the run with that key, under way or ended; never a new one
}

// ServiceRun is how it ended.
type ServiceRun struct {
	ExitCode   int    `json:"exit_code"`
	Reason     string `json:"reason,omitempty"`      // why it failed, in words
	NotStarted string `json:"not_started,omitempty"` // the command, where that can't be started; ExitCode is 126 or 127
}

// RunService runs a container of a service once. ready is called with its id
// when it waits to be started, or, for a client that comes back, when it has been.
func (e *EnvironmentClient) RunService(ctx context.Context, service string, r RunService, ready func(id string, started bool)) (*ServiceRun, error) {
	result := &ServiceRun{}
	sink := event.Func(func(e event.Event) {
		if e.Type == event.InstanceState && (e.State == event.Staged || e.State == event.Starting) {
			ready(e.Subject, e.State == event.Starting)
		}
	})
	return result, e.client.stream(ctx, http.MethodPost, e.path("services", service, "runs"), r, sink, result)
}
