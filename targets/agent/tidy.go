package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// rememberFor is how long a deployment is known after it has ended, so that a
// call that is repeated late gets the same answer.
const rememberFor = time.Hour

// kept is what no clean-up may touch.
type kept struct {
	containers map[string]bool // of deployments
	images     map[string]bool
	secrets    map[string]bool
	open       map[string]bool // deployments under way: all that they made
}

// needed gathers what the releases of all environments need.
func (a *Agent) needed() (*kept, error) {
	k := &kept{containers: map[string]bool{}, images: map[string]bool{}, secrets: map[string]bool{}, open: map[string]bool{}}
	err := a.journal.View(func(t *journal.Tx) error {
		return t.EachEnvironment(func(_ string, r journal.Environment, fault error) error {
			if fault != nil {
				return fault // nothing is removed while it is not known what is needed
			}
			k.open[r.Open] = true
			for _, id := range r.Deployments() {
				if err := need(t, k, id); err != nil {
					return err
				}
			}
			return nil
		})
	})
	for _, c := range a.parts.Containers.List() {
		k.images[c.Spec.Image] = true
		for _, s := range c.Spec.Secrets {
			k.secrets[s.Version] = true
		}
	}
	return k, err
}

func need(t *journal.Tx, k *kept, id string) error {
	d, err := t.Deployment(id)
	if err != nil || d == nil {
		return journal.Missing(err, "deployment %s", id)
	}
	r, err := t.Release(id)
	if err != nil || r == nil {
		return journal.Missing(err, "release of deployment %s", id)
	}
	for _, c := range d.Containers {
		k.containers[c] = true
	}
	for _, image := range r.Images {
		k.images[image.Digest] = true
	}
	for _, version := range r.Secrets {
		k.secrets[version] = true
	}
	return nil
}

// insist does what nobody else does until it has worked, ever more seldom.
func (a *Agent) insist(ctx context.Context, e *environment, what string, do func(context.Context) error) {
	for wait := firstRetry; ; wait = min(2*wait, longestRetry) {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		a.log.Error(what, "environment", e.key(), "error", err, "retry", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// retireLeft drains and stops the containers that run, or would be started
// again, and that neither serve nor belong to the current release or to one
// that is held. While a deployment is under way it leaves them alone: the end
// of that one tidies up.
func (a *Agent) retireLeft(ctx context.Context, e *environment) error {
	r, err := a.read(e)
	if err != nil || r.Current == "" {
		return err
	}
	if r.Open != "" {
		if w, err := a.load(e, r.Open, nil); err != nil || !w.IsHeld() {
			return err
		}
	}
	w, err := a.load(e, r.Current, nil)
	if err != nil {
		return err
	}
	needed, err := a.inUse(e)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(a.containersOf(e), func(c runtime.Container) bool {
		return !runs(c) && !c.Wanted || needed[c.ID] || runsOnce(c)
	})
	if err := a.drain(ctx, w.longestDrain(), left...); err != nil {
		return err
	}
	// Draining took its time: what came meanwhile may have taken one of them up
	// again, as a rollback does with the containers that were kept.
	if needed, err = a.inUse(e); err != nil {
		return err
	}
	for _, c := range left {
		if !needed[c.ID] {
			err = errors.Join(err, a.parts.Containers.Stop(ctx, c.ID))
		}
	}
	return err
}

// inUse are the containers that serve now, or belong to the current release
// or to a deployment under way.
func (a *Agent) inUse(e *environment) (map[string]bool, error) {
	r, err := a.read(e)
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for _, id := range r.Serving {
		needed[id] = true
	}
	for _, id := range []string{r.Current, r.Open} {
		if id == "" {
			continue
		}
		w, err := a.load(e, id, nil)
		if err != nil {
			return nil, err
		}
		for _, container := range w.Containers {
			needed[container] = true
		}
	}
	return needed, nil
}

// dropDeployments forgets deployments that ended a while ago and are not kept.
// Their journal goes with them; the history stays.
func (a *Agent) dropDeployments(e *environment) error {
	var drop []string
	err := a.journal.View(func(t *journal.Tx) (err error) {
		drop, err = droppable(t, e)
		return err
	})
	if err != nil || len(drop) == 0 {
		return err
	}
	return a.journal.Update("tidy", func(t *journal.Tx) error {
		drop, err := droppable(t, e) // another deployment may have begun meanwhile
		for _, id := range drop {
			err = errors.Join(err, t.DropDeployment(id))
		}
		return err
	})
}

// droppable lists the deployments of an environment that need not be known any
// more.
func droppable(t *journal.Tx, e *environment) (drop []string, err error) {
	r, _, err := t.Environment(e.project, e.name)
	if err != nil {
		return nil, err
	}
	keep := r.Deployments()
	err = t.EachRelease(func(id string, release api.Release) error {
		if release.Project != e.project || release.Environment != e.name || slices.Contains(keep, id) {
			return nil
		}
		d, err := t.Deployment(id)
		if d == nil || time.Since(d.Ended) > rememberFor {
			drop = append(drop, id)
		}
		return err
	})
	return drop, err
}

// releasePorts gives back ports and names of services that no release in hand
// has.
func (a *Agent) releasePorts(ctx context.Context, e *environment) error {
	e.routing.Lock()
	defer e.routing.Unlock()
	routes, err := a.routes(e)
	if err != nil {
		return err
	}
	r, err := a.read(e)
	if err != nil || r.Open != "" {
		return err // what is reserved for the deployment under way stays
	}
	if err := a.parts.Traffic.Release(ctx, e.network(), routes); err != nil {
		return fmt.Errorf("giving back ports of %s: %w", e.key(), err)
	}
	return nil
}

// collect removes containers, secrets and images that nothing needs.
func (a *Agent) collect(ctx context.Context) {
	a.collecting.Lock()
	defer a.collecting.Unlock()
	if err := a.removeUnneeded(ctx); err != nil {
		a.log.Warn("removing what no release needs", "error", err)
	}
	if _, err := a.collectImages(ctx, Collection{}); err != nil {
		a.log.Warn("removing images that no release needs", "error", err)
	}
}

// removeUnneeded looks at what is there before it asks the journal what is
// needed: a deployment that begins meanwhile writes its journal first, so what
// it makes is either not seen or known to be needed.
func (a *Agent) removeUnneeded(ctx context.Context) error {
	containers := a.parts.Containers.List()
	versions, err := a.secretVersions()
	if err != nil {
		return err
	}
	k, err := a.needed()
	if err != nil {
		return err
	}
	var faults []error
	for _, c := range containers {
		labels := c.Spec.Labels
		ours := labels[runtime.LabelDeployment] != "" && !runsOnce(c)
		if !ours || runs(c) || c.State == runtime.Broken || k.containers[c.ID] || k.open[labels[runtime.LabelDeployment]] {
			continue
		}
		if err := a.parts.Containers.Remove(ctx, c.ID); err != nil {
			faults = append(faults, fmt.Errorf("removing container %s: %w", c.Spec.Name, err))
		}
	}
	for _, version := range versions {
		if !k.secrets[version] {
			faults = append(faults, os.Remove(a.secretPath(version)))
		}
	}
	return errors.Join(faults...)
}

// collectImages drops what no release needs from the store.
func (a *Agent) collectImages(ctx context.Context, c Collection) (api.PruneResult, error) {
	c.Needed = func() ([]string, error) {
		k, err := a.needed()
		if err != nil {
			return nil, err
		}
		return slices.Sorted(maps.Keys(k.images)), nil
	}
	return a.parts.Images.Collect(ctx, c)
}
