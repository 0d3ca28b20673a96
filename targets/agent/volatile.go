package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"dray/pipeline"
	"dray/pipeline/event"
)

// tellVolatile warns of the folders that an image keeps data in, by its VOLUMEs,
// and that nothing is mounted on: they are part of the container, so what is
// written there goes with it when the next release replaces it.
func (a *Agent) tellVolatile(ctx context.Context, w *work) error {
	told := map[string]bool{}
	for _, p := range w.placed {
		if told[p.service.Name] {
			continue
		}
		told[p.service.Name] = true
		folders, err := a.parts.Images.Volumes(ctx, p.image.Digest)
		if err != nil {
			return fmt.Errorf("reading the volumes of %s: %w", p.image.Name, err)
		}
		for _, folder := range folders {
			if mountedOver(folder, p.service) {
				continue
			}
			w.sink.Emit(event.Event{
				Type: event.Warning, Service: p.service.Name,
				Text: fmt.Sprintf("%s keeps data in %s, by its image's VOLUME, and nothing is mounted there: it goes with each container that a release replaces", p.service.Name, folder),
				Next: fmt.Sprintf("volume \"data\" { destination = %q } keeps it; tmpfs = [%[1]q] says that nobody needs it", folder),
			})
		}
	}
	return nil
}

// mountedOver says whether something of the service's own lies at a folder, or
// above it.
func mountedOver(folder string, s *pipeline.Service) bool {
	covers := func(destination string) bool {
		return folder == destination || strings.HasPrefix(folder, strings.TrimSuffix(destination, "/")+"/")
	}
	return slices.ContainsFunc(s.Volumes, func(v pipeline.Volume) bool { return covers(v.Destination) }) ||
		slices.ContainsFunc(s.Tmpfs, func(text string) bool {
			t, err := pipeline.ParseTmpfs(text)
			return err == nil && covers(t.Path)
		})
}
