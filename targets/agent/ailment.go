package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dray/targets/api"
)

// lastLines is how many lines of a container's log a fault carries.
const lastLines = 20

// unhealthy is the fault of an instance that did not become healthy: what was
// tried, what was found, and the container's own last words.
func (a *Agent) unhealthy(w *work, p placed, id string, found error) *api.Error {
	fault := &api.Error{
		Code: api.CodeUnhealthy, Instance: p.instance, Service: p.service.Name,
		Logs: a.parts.Logs.Last(id, lastLines),
	}
	if p.service.Check != nil {
		fault.Port = p.service.Check.Port
	}
	reason := found.Error()
	var typed *api.Error
	if errors.As(found, &typed) {
		reason, fault.Detail = typed.Message, typed.Detail
	}
	fault.Message = fmt.Sprintf("%s of %s did not become healthy on %s: %s", p.instance, releaseWord(w.Release), w.Host, reason)
	return a.redacted(fault)
}

// ailment is why the new container of an instance is not healthy now, for a
// deployer who has stopped waiting for it.
func (a *Agent) ailment(ctx context.Context, e *environment, id, instance string) (*api.Error, error) {
	w, err := a.load(e, id, nil)
	if err != nil {
		return nil, err
	}
	p, isNew, _ := w.placedNamed(instance)
	container := w.containerOf(instance)
	if !isNew || container == "" {
		return nil, api.Errorf(api.CodeNotFound, "%s has no container of %s here", instance, releaseWord(w.Release))
	}
	over, cancel := context.WithDeadline(ctx, time.Now())
	defer cancel()
	found := a.parts.Health.Wait(over, container, p.service.Update.MinHealthyTime.D())
	if found == nil {
		return nil, api.Errorf(api.CodeConflict, "%s of %s is healthy", instance, releaseWord(w.Release))
	}
	return a.unhealthy(w, p, container, found), nil
}
