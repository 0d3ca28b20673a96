package agent

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/runtime"
)

// pullImages has the image of every service placed here, and of the tasks that
// run here.
func (a *Agent) pullImages(ctx context.Context, w *work, sources map[string][]api.ImageSource) (int64, error) {
	wanted := map[string]api.Image{}
	for _, p := range w.placed {
		wanted[p.image.Digest] = p.image
	}
	for _, t := range w.release.Tasks {
		if image := w.release.Images[taskPrefix+t.Name]; runsTasks(w.release, w.Host, t.Name) {
			wanted[image.Digest] = image
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(mostPulls)
	received := make(chan int64, len(wanted))
	for digest, image := range wanted {
		group.Go(func() error {
			n, err := a.parts.Images.Pull(ctx, PullRequest{
				Digest: digest, Name: image.Name, Size: image.Size, Sources: sources[digest], Sink: w.sink,
			})
			received <- n
			return pullFault(image, err)
		})
	}
	err := group.Wait()
	close(received)
	var sum int64
	for n := range received {
		sum += n
	}
	return sum, err
}

// pullFault gives a fault of the store its code.
func pullFault(image api.Image, err error) error {
	var typed *api.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typed):
		return err
	case isFull(err):
		return api.Errorf(api.CodeSpace, "the disk is full: image %s could not be stored: %v", image.Name, err)
	}
	return api.Errorf(api.CodeImage, "image %s could not be had: %v", image.Name, err)
}

// chooseContainers finds or makes a container for every instance placed here:
// the one that runs, if nothing that it depends on has changed; one that an
// earlier release left, if it is alike; otherwise a new one.
func (a *Agent) chooseContainers(ctx context.Context, w *work) (map[string]string, error) {
	chosen := make([]string, len(w.placed))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(mostStarts)
	for i, p := range w.placed {
		if kept, ok := a.alike(w, p); ok {
			chosen[i] = kept.ID
			continue
		}
		group.Go(func() error {
			c, err := a.create(ctx, w.e, w.release, w.ID, p)
			if err != nil {
				return createFault(p, err)
			}
			chosen[i] = c.ID
			w.tell(p.instance, event.Staged, "")
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	containers := make(map[string]string, len(chosen))
	for i, p := range w.placed {
		containers[p.instance] = chosen[i]
	}
	return containers, nil
}

// alike finds a container that runs as the instance should. The one that runs
// now is preferred, then the newest.
func (a *Agent) alike(w *work, p placed) (runtime.Container, bool) {
	current := ""
	if w.old != nil {
		current = w.old.Containers[p.instance]
	}
	var best runtime.Container
	for _, c := range a.containersOf(w.e) {
		if c.State == runtime.Broken || c.Spec.Labels[runtime.LabelInstance] != p.instance || w.made.of(c) != p.fingerprint {
			continue
		}
		if c.ID == current {
			return c, true
		}
		if runs(c) && !c.Wanted {
			continue // it has been told to end, and may take its time
		}
		if best.ID == "" || c.CreatedAt.After(best.CreatedAt) {
			best = c
		}
	}
	return best, best.ID != ""
}

// create makes the container of an instance, with its volumes.
func (a *Agent) create(ctx context.Context, e *environment, r *api.Release, deployment string, p placed) (runtime.Container, error) {
	volumes, err := a.volumes(ctx, e, p.image.Digest, p.service.Volumes)
	if err != nil {
		return runtime.Container{}, err
	}
	spec := a.containerSpec(e, r, deployment, p, volumes)
	name := spec.Name
	for {
		spec.Name = a.freeName(name)
		c, err := a.parts.Containers.Create(ctx, spec)
		if !errors.Is(err, runtime.ErrExists) || ctx.Err() != nil {
			return c, err
		}
		// Another environment's container was quicker to take that name.
	}
}

// volumes has the named ones exist, filled from the image at first use, and
// returns where they are.
func (a *Agent) volumes(ctx context.Context, e *environment, image string, volumes []pipeline.Volume) (map[string]string, error) {
	paths := map[string]string{}
	for _, v := range volumes {
		if v.Source != "" {
			continue
		}
		path, err := a.parts.Volumes.Ensure(ctx, e.network(), v.Name)
		if err != nil {
			return nil, fmt.Errorf("making volume %s: %w", v.Name, err)
		}
		if err := a.parts.Volumes.Fill(ctx, e.network(), v.Name, image, v.Destination); err != nil {
			return nil, fmt.Errorf("filling volume %s: %w", v.Name, err)
		}
		paths[v.Name] = path
	}
	return paths, nil
}

// freeName returns a name that no container has: a release may be deployed
// again while its first containers are still kept.
func (a *Agent) freeName(name string) string {
	taken := map[string]bool{}
	for _, c := range a.parts.Containers.List() {
		taken[c.Spec.Name] = true
	}
	free := name
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

func createFault(p placed, err error) error {
	fault := &api.Error{}
	if !errors.As(err, &fault) {
		fault = api.Errorf(api.CodeInternal, "%s could not be created: %v", p.instance, err)
		if isFull(err) {
			fault.Code = api.CodeSpace
		}
	}
	fault.Instance, fault.Service = p.instance, p.service.Name
	return fault
}
