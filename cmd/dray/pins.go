package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dray/builder"
	"dray/builder/registry"
	"dray/pipeline/config"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
)

// keepBases pins the images that a build started from and that the lock file
// does not have yet.
func (p *project) keepBases(bases []builder.Base, sink event.Sink) {
	found := map[string]string{}
	for _, b := range bases {
		reference, _, exact := strings.Cut(b.Reference, "@")
		if !exact && p.lock.Base(reference) == "" {
			found[reference] = b.Digest
		}
	}
	p.keepPins(found, sink)
}

// keepPins writes what names of images meant into the lock file. That it can't
// be written (a read-only checkout in CI) is told, and is no failure: this run
// has its images.
func (p *project) keepPins(found map[string]string, sink event.Sink) {
	if len(found) == 0 {
		return
	}
	p.pinning.Lock()
	defer p.pinning.Unlock()
	names := slices.Sorted(maps.Keys(found))
	var texts []string
	for _, name := range names {
		texts = append(texts, fmt.Sprintf("%s at %s", name, phrase.Digest(found[name])))
	}
	what := phrase.List(texts)
	if err := p.writePins(found); err != nil {
		sink.Emit(event.Event{
			Type: event.Warning, Text: fmt.Sprintf("%s could not be pinned, so the next run may get other bytes: %v", what, err),
			Next: "run dray build where the checkout can be written, and check " + config.LockFileName + " in",
		})
		return
	}
	sink.Emit(event.Event{Type: event.Notice, Text: fmt.Sprintf("%s now pins %s: check it in", p.lock.Path(), what)})
}

// writePins changes the file as it is now: another process may have written it
// since this one has read it.
func (p *project) writePins(found map[string]string) error {
	fresh, err := p.app.readLock(p.Dir)
	if err != nil {
		return err
	}
	for _, lock := range []*config.Lock{fresh, p.lock} {
		for name, digest := range found {
			if err := lock.SetBase(name, digest); err != nil {
				return err
			}
		}
	}
	return fresh.Write()
}

// aboutPins tells how to go on when what the lock file pins is gone.
func (p *project) aboutPins(err error) error {
	var failed *builder.Failure
	if !asError(err, &failed) {
		return err
	}
	for name, digest := range p.pins() {
		if strings.Contains(failed.Error()+failed.Detail(), digest) {
			failed.Next = "dray update " + name + ", if its registry no longer has what " + config.LockFileName + " pins"
		}
	}
	return err
}

// change is a pin that update looked at.
type change struct {
	Image string `json:"image"`
	From  string `json:"from,omitempty"`
	To    string `json:"to"`
}

func updateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "update [IMAGE…]",
		Short: "Pin base images to what their registries have now",
		Long: `update asks registries what the named images are now, or all that dray.lock.hcl
pins, and writes it there. Builds and deployments use those until the next
update.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			if len(args) == 0 {
				args = slices.Sorted(maps.Keys(p.pins()))
			}
			changes, err := p.updatePins(cmd.Context(), args)
			if err != nil {
				return err
			}
			return results(a, changes, func(w io.Writer) error { return printChanges(w, p.lock.Path(), changes) })
		},
	}
}

// updatePins looks all images up before it changes anything.
func (p *project) updatePins(ctx context.Context, names []string) ([]change, error) {
	changes := []change{}
	found := map[string]string{}
	for _, text := range names {
		name, err := config.BaseName(text)
		if err != nil {
			return nil, err
		}
		if strings.Contains(name, "@") {
			return nil, fmt.Errorf("%s says itself which bytes it means: there is nothing to pin", text)
		}
		ref, err := registry.ParseReference(name, p.insecure(name))
		if err != nil {
			return nil, err
		}
		digest, err := resolveAt(ctx, p.places(ref))
		if err != nil {
			return nil, err
		}
		changes = append(changes, change{Image: name, From: p.lock.Base(name), To: digest})
		if p.lock.Base(name) != digest {
			found[name] = digest
		}
	}
	if len(found) == 0 {
		return changes, nil
	}
	return changes, p.writePins(found)
}

func printChanges(w io.Writer, path string, changes []change) error {
	changed := 0
	for _, c := range changes {
		text := phrase.Digest(c.To) + " as before"
		if c.From != c.To {
			changed++
			text = strings.TrimPrefix(phrase.Digest(c.From)+" → "+phrase.Digest(c.To), " → ")
		}
		if _, err := fmt.Fprintf(w, "%s  %s\n", c.Image, text); err != nil {
			return err
		}
	}
	last := "Nothing has changed."
	switch {
	case len(changes) == 0:
		last = "No image is pinned yet; dray build pins what it starts from."
	case changed > 0:
		last = path + " has changed: check it in. The next build starts from there."
	}
	_, err := fmt.Fprintln(w, last)
	return err
}
