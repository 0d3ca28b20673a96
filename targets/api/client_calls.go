package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"dray/pipeline/event"
)

// Host returns what the host is.
func (c *Client) Host(ctx context.Context) (*Host, error) {
	return get[Host](ctx, c, prefix+"/host")
}

// Environments returns every environment that the host knows, of one project
// or, with "", of all.
func (c *Client) Environments(ctx context.Context, project string) ([]Environment, error) {
	path := prefix + "/environments"
	if project != "" {
		path += "?project=" + url.QueryEscape(project)
	}
	list, err := get[[]Environment](ctx, c, path)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// Prune drops what no release of any project on the host needs.
func (c *Client) Prune(ctx context.Context, p Prune) (*PruneResult, error) {
	return send[PruneResult](ctx, c, http.MethodPost, prefix+"/prune", p)
}

// Environment names one environment for the calls on it.
func (c *Client) Environment(project, name string) *EnvironmentClient {
	return &EnvironmentClient{client: c, project: project, name: name}
}

// EnvironmentClient makes the calls on one environment of one host. Faults
// that the host reports are *Error.
type EnvironmentClient struct {
	client        *Client
	project, name string
}

// Get returns everything that the host knows of the environment. One that was
// never deployed there is an *Error of CodeNotFound.
func (e *EnvironmentClient) Get(ctx context.Context) (*Environment, error) {
	return get[Environment](ctx, e.client, e.path())
}

// History returns the last limit records, newest first; 0 is all.
func (e *EnvironmentClient) History(ctx context.Context, limit int) ([]Record, error) {
	list, err := get[[]Record](ctx, e.client, e.path("history")+query("limit", uint64(max(limit, 0))))
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// Releases returns the releases that the host keeps, newest first.
func (e *EnvironmentClient) Releases(ctx context.Context) ([]Release, error) {
	list, err := get[[]Release](ctx, e.client, e.path("releases"))
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// Revisions returns the contents that were ever brought to the host under the
// number of a release, by revision; "" where it has not seen that one.
func (e *EnvironmentClient) Revisions(ctx context.Context, number int) ([]string, error) {
	list, err := get[[]string](ctx, e.client, e.path("releases", strconv.Itoa(number), "revisions"))
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// Evidence returns the host's signed statement about a release: a DSSE
// envelope as JSON. Its signature is not checked here.
func (e *EnvironmentClient) Evidence(ctx context.Context, release ReleaseNumber) ([]byte, error) {
	raw, err := get[json.RawMessage](ctx, e.client, e.path("releases", release.String(), "evidence"))
	if err != nil {
		return nil, err
	}
	return *raw, nil
}

// AcquireLease takes the right to change the environment. A lease that someone
// else holds, or a freeze, is an *Error of CodeLocked.
func (e *EnvironmentClient) AcquireLease(ctx context.Context, a AcquireLease) (*Lease, error) {
	return send[Lease](ctx, e.client, http.MethodPost, e.path("lease"), a)
}

// RenewLease keeps the lease for another TTL.
func (e *EnvironmentClient) RenewLease(ctx context.Context, r RenewLease) (*Lease, error) {
	return send[Lease](ctx, e.client, http.MethodPut, e.path("lease"), r)
}

// ReleaseLease gives the lease back. Giving back one that has ended is no
// error.
func (e *EnvironmentClient) ReleaseLease(ctx context.Context, fence uint64) error {
	return e.client.call(ctx, http.MethodDelete, e.path("lease")+query("fence", fence), nil, nil)
}

// Freeze keeps deployments out.
func (e *EnvironmentClient) Freeze(ctx context.Context, f SetFreeze) (*Freeze, error) {
	return send[Freeze](ctx, e.client, http.MethodPut, e.path("freeze"), f)
}

// Unfreeze lets deployments in again.
func (e *EnvironmentClient) Unfreeze(ctx context.Context) error {
	return e.client.call(ctx, http.MethodDelete, e.path("freeze"), nil, nil)
}

// Identity asks for whom the agent takes this client.
func (c *Client) Identity(ctx context.Context) (*Actor, error) {
	return get[Actor](ctx, c, prefix+"/identity")
}

// Approve lets a release enter the environment, in the client's actor's name.
func (e *EnvironmentClient) Approve(ctx context.Context, a Approve) (*Approval, error) {
	return send[Approval](ctx, e.client, http.MethodPost, e.path("approvals"), a)
}

// Prepare makes everything ready for a release; events go to sink.
func (e *EnvironmentClient) Prepare(ctx context.Context, p Prepare, sink event.Sink) (*PrepareResult, error) {
	return stream[PrepareResult](ctx, e.client, e.path("deployments"), p, sink)
}

// Steps takes steps of a prepared deployment, in order.
func (e *EnvironmentClient) Steps(ctx context.Context, deployment string, s Steps, sink event.Sink) (*StepsResult, error) {
	return stream[StepsResult](ctx, e.client, e.path("deployments", deployment, "steps"), s, sink)
}

// Ailment says why an instance of a deployment under way is not healthy.
func (e *EnvironmentClient) Ailment(ctx context.Context, deployment, instance string) (*Error, error) {
	return get[Error](ctx, e.client, e.path("deployments", deployment, "ailment")+"?instance="+url.QueryEscape(instance))
}

// Confirm ends a deployment: its release is the current one.
func (e *EnvironmentClient) Confirm(ctx context.Context, deployment string, c Confirm) (*Record, error) {
	return send[Record](ctx, e.client, http.MethodPost, e.path("deployments", deployment, "confirm"), c)
}

// Revert ends a deployment by going back.
func (e *EnvironmentClient) Revert(ctx context.Context, deployment string, r Revert, sink event.Sink) (*StepsResult, error) {
	return stream[StepsResult](ctx, e.client, e.path("deployments", deployment, "revert"), r, sink)
}

// Hold leaves a failed deployment as it is, and returns what the host runs.
func (e *EnvironmentClient) Hold(ctx context.Context, deployment string, h Hold) (*Environment, error) {
	return stream[Environment](ctx, e.client, e.path("deployments", deployment, "hold"), h, nil)
}

// Down removes the environment from the host.
func (e *EnvironmentClient) Down(ctx context.Context, d Down, sink event.Sink) (*DownResult, error) {
	return stream[DownResult](ctx, e.client, e.path("down"), d, sink)
}

// Tasks returns the tasks of the current release with their last runs.
func (e *EnvironmentClient) Tasks(ctx context.Context, runs int) ([]TaskStatus, error) {
	list, err := get[[]TaskStatus](ctx, e.client, e.path("tasks")+query("limit", uint64(max(runs, 0))))
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// RunTask runs a task once and waits for its end; its output goes to sink.
func (e *EnvironmentClient) RunTask(ctx context.Context, task string, r RunTask, sink event.Sink) (*TaskRun, error) {
	return stream[TaskRun](ctx, e.client, e.path("tasks", task, "runs"), r, sink)
}

func (e *EnvironmentClient) path(sub ...string) string {
	return EnvironmentPath(e.project, e.name, sub...)
}

func get[T any](ctx context.Context, c *Client, path string) (*T, error) {
	return send[T](ctx, c, http.MethodGet, path, nil)
}

func send[T any](ctx context.Context, c *Client, method, path string, body any) (*T, error) {
	result := new(T)
	if err := c.call(ctx, method, path, body, result); err != nil {
		return nil, err
	}
	return result, nil
}

func stream[T any](ctx context.Context, c *Client, path string, body any, sink event.Sink) (*T, error) {
	result := new(T)
	if err := c.stream(ctx, http.MethodPost, path, body, sink, result); err != nil {
		return nil, err
	}
	return result, nil
}
