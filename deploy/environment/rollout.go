package environment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// Preview says under which name a release would come, and where to.
func (e *Environment) Preview(ctx context.Context, r pipeline.Release) (pipeline.Release, error) {
	return e.fleet.Preview(ctx, r, e.place)
}

// Deploy brings a release onto the hosts, and puts what they swear about it
// beside its images.
func (e *Environment) Deploy(ctx context.Context, d pipeline.Deployment) (*pipeline.Deployed, error) {
	sink := event.With(e.opener.Sink, func(ev *event.Event) { ev.Environment = e.env.Name })
	offer, err := e.opener.Images(d.Release, e.opener.holders(d.Origin), sink)
	if err != nil {
		return nil, err
	}
	done, err := e.fleet.Deploy(ctx, deploy.Request{
		Deployment: d, LockWait: e.opener.LockWait, Place: e.placer(d.Kind),
		Sources: func(h *deploy.Host, image pipeline.ReleaseImage) []pipeline.ImageSource {
			return offer.Sources(ctx, e.opener.host(h.Name), h.Peer, image.Digest)
		},
	})
	if err != nil {
		return nil, err
	}
	if !done.Unchanged {
		offer.Publish(ctx, done.Release, func(ctx context.Context) ([]pipeline.Statement, error) { return e.statements(ctx, done.Release) })
	}
	return done, nil
}

// statements asks every host that has something of a release for its statement.
func (e *Environment) statements(ctx context.Context, release pipeline.Release) ([]pipeline.Statement, error) {
	hosts := slices.DeleteFunc(slices.Clone(e.fleet.Hosts()), func(h *deploy.Host) bool { return len(release.PlacedOn(h.Name)) == 0 })
	out := make([]pipeline.Statement, len(hosts))
	errs := make([]error, len(hosts))
	var group sync.WaitGroup
	for i, h := range hosts {
		group.Go(func() {
			envelope, err := e.on(h).Evidence(ctx, release.ReleaseNumber())
			if err != nil {
				errs[i] = &deploy.HostError{Host: h.Name, Err: err}
				return
			}
			out[i] = pipeline.Statement{Host: h.Name, Type: api.EvidencePayload, Envelope: envelope}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// on returns the calls of this environment on a host.
func (e *Environment) on(h *deploy.Host) *api.EnvironmentClient {
	return h.Client.Environment(e.opener.Project.Name, e.env.Name)
}

// Abort ends what is held: every host goes back to the release base.
func (e *Environment) Abort(ctx context.Context, base pipeline.ReleaseNumber) error {
	return e.fleet.Abort(ctx, e.opener.Actor, e.opener.LockWait, base)
}

// Down removes the environment from every host.
func (e *Environment) Down(ctx context.Context, volumes bool) (map[string]*api.DownResult, error) {
	return e.fleet.Down(ctx, e.opener.Actor, volumes)
}

// Approve records on every host that this release may enter. Hosts that dray was
// never on are passed over: one that has it counts for all.
func (e *Environment) Approve(ctx context.Context, yes pipeline.Approval) error {
	if !slices.ContainsFunc(e.fleet.Hosts(), func(h *deploy.Host) bool { return !h.Absent }) {
		return pipeline.WithHint(fmt.Errorf("dray was never on a host of %s, so none can keep the approval", e.env.Name),
			pipeline.Hint{Conclusion: "Nothing was changed.", Next: "dray host setup " + strings.Join(e.Names(), " ")})
	}
	for _, h := range e.fleet.Hosts() {
		if h.Absent {
			continue
		}
		if _, err := e.on(h).Approve(ctx, api.Approve{ReleaseRef: yes.ReleaseRef, Content: yes.Content}); err != nil {
			return &deploy.HostError{Host: h.Name, Err: err}
		}
	}
	return nil
}
