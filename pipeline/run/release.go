package run

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dray/pipeline"
)

// targetsOf returns the targets that an environment's services and tasks run.
func targetsOf(envs ...*pipeline.Environment) []string {
	set := map[string]bool{}
	for _, env := range envs {
		for _, s := range env.Services {
			set[s.Image.Target] = true
		}
		for _, t := range env.Tasks {
			set[t.Image.Target] = true
		}
	}
	delete(set, "")
	return slices.Sorted(maps.Keys(set))
}

// release makes the release that env would run with these images: by service,
// or "task.NAME".
func (r *Runner) release(ctx context.Context, env *pipeline.Environment, images map[string]pipeline.ReleaseImage) (pipeline.Release, map[string]string, error) {
	out := Configured(env)
	out.Project, out.Created, out.By, out.Source, out.Images = r.Project.Name, r.Now().UTC(), r.Actor, r.Source, images
	found, err := r.secretsOf(ctx, env)
	out.Secrets = found.versions
	return out, found.values, err
}

// Configured is a release as the file says it of env, without what else it takes:
// images and secrets.
func Configured(env *pipeline.Environment) pipeline.Release {
	out := pipeline.Release{Environment: env.Name, Retain: env.Retain, ConfirmIn: env.ConfirmWithin}
	for _, name := range slices.Sorted(maps.Keys(env.Services)) {
		out.Services = append(out.Services, *env.Services[name])
	}
	for _, name := range slices.Sorted(maps.Keys(env.Tasks)) {
		out.Tasks = append(out.Tasks, *env.Tasks[name])
	}
	return out
}

// next is the release that the open env would run with these images, under the
// name that it would have there. Number 0 is the environment's next.
func (r *Runner) next(ctx context.Context, env *pipeline.Environment, open Previewer, images map[string]pipeline.ReleaseImage, number int) (pipeline.Release, error) {
	release, _, err := r.release(ctx, env, images)
	if err != nil {
		return release, err
	}
	release.Number = number
	return open.Preview(ctx, release)
}

// foundSecrets are an environment's secrets: name → version, version → value.
type foundSecrets struct{ versions, values map[string]string }

// secretsOf finds the secrets of an environment, once a run: a command that
// prints them may ask a person.
func (r *Runner) secretsOf(ctx context.Context, env *pipeline.Environment) (foundSecrets, error) {
	var names []string
	for _, s := range env.Services {
		names = appendSecrets(names, s.Secrets)
	}
	for _, t := range env.Tasks {
		names = appendSecrets(names, t.Secrets)
	}
	if len(names) == 0 {
		return foundSecrets{}, nil
	}
	r.found.Lock()
	defer r.found.Unlock()
	if found, ok := r.found.of[env.Name]; ok {
		return found, nil
	}
	slices.Sort(names)
	versions, values, err := r.Secrets(ctx, env.Name, slices.Compact(names))
	if err != nil {
		return foundSecrets{}, err
	}
	if r.found.of == nil {
		r.found.of = map[string]foundSecrets{}
	}
	r.found.of[env.Name] = foundSecrets{versions, values}
	return r.found.of[env.Name], nil
}

// secretsAtHand fails when an environment's secrets can't be had: better now
// than after the build.
func (r *Runner) secretsAtHand(ctx context.Context, env *pipeline.Environment) error {
	_, err := r.secretsOf(ctx, env)
	return err
}

func appendSecrets(names []string, secrets []pipeline.Secret) []string {
	for _, s := range secrets {
		names = append(names, s.Name)
	}
	return names
}

// imagesFor finds the image of every service and task of env: what was built,
// or the digest that a reference is pinned to.
func (r *Runner) imagesFor(ctx context.Context, env *pipeline.Environment, built Built) (map[string]pipeline.ReleaseImage, error) {
	images := map[string]pipeline.ReleaseImage{}
	for key, image := range uses(env) {
		if image.Target != "" {
			images[key] = built[image.Target]
			continue
		}
		pinned, err := r.Images.Pin(ctx, image.Ref)
		if err != nil {
			return nil, fmt.Errorf("resolving image %s of %s: %w", image.Ref, key, err)
		}
		images[key] = pinned
	}
	return images, nil
}

// promoted takes the images of env from a release that ran elsewhere. What
// that release lacks is told in words.
func promoted(env *pipeline.Environment, from *pipeline.Release) (map[string]pipeline.ReleaseImage, []string) {
	images := map[string]pipeline.ReleaseImage{}
	var missing []string
	for key := range uses(env) {
		image, ok := from.Images[key]
		if !ok {
			missing = append(missing, fmt.Sprintf("%s is not part of release %s of %s", strings.TrimPrefix(key, "task."), from.ReleaseNumber(), from.Environment))
			continue
		}
		images[key] = image
	}
	slices.Sort(missing)
	return images, missing
}

// uses maps a release's image keys to what the file says.
func uses(env *pipeline.Environment) map[string]pipeline.Image {
	out := map[string]pipeline.Image{}
	for name, s := range env.Services {
		out[name] = s.Image
	}
	for name, t := range env.Tasks {
		out["task."+name] = t.Image
	}
	return out
}

// Reconfigured tells whether the file says otherwise of an environment than the
// release that it runs, images, secrets and places apart.
func Reconfigured(env *pipeline.Environment, current *pipeline.Release) bool {
	desired := Configured(env)
	desired.Images, desired.Secrets, desired.Placement = current.Images, current.Secrets, current.Placement
	return !desired.Same(current)
}
