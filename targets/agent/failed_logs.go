package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/runtime"
)

// mostFailedLogs is how many failed releases of an environment keep their
// containers' logs: STATE/logs/NETWORK/RELEASE/SERVICE-INDEX/.
const mostFailedLogs = 20

func (a *Agent) failedLogs(e *environment) string {
	return filepath.Join(a.state, "logs", e.network())
}

// keepLog puts the log of a container that is about to be removed where
// "dray logs --release" finds it, and drops the oldest of those.
func (a *Agent) keepLog(e *environment, release api.ReleaseNumber, c runtime.Container) error {
	root := a.failedLogs(e)
	service, index, err := parseInstance(c.Spec.Labels[runtime.LabelInstance])
	if err != nil {
		return err
	}
	folder := filepath.Join(root, release.String(), service+"-"+strconv.Itoa(index))
	if err := a.parts.Logs.Keep(c.ID, folder); err != nil {
		return err
	}
	return dropOldest(root, mostFailedLogs)
}

// dropOldest removes the folders of the lowest releases until at most most are
// left.
func dropOldest(root string, most int) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int {
		x, _, _ := parseNumber(a.Name()) // what is no release's goes first
		y, _, _ := parseNumber(b.Name())
		return x.Compare(y)
	})
	for len(entries) > most {
		err = errors.Join(err, os.RemoveAll(filepath.Join(root, entries[0].Name())))
		entries = entries[1:]
	}
	return err
}

// releaseLogs passes what the removed containers of a release wrote to sink.
func (a *Agent) releaseLogs(ctx context.Context, e *environment, release, service string, tail int, sink event.Sink) (*api.KeptLogs, error) {
	number, _, err := parseNumber(release)
	if err != nil {
		return nil, err
	}
	root := filepath.Join(a.failedLogs(e), number.String())
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, api.Errorf(api.CodeNotFound, "no output of %s of %s is kept on this host", releaseWord(number), e.name)
	}
	if err != nil {
		return nil, err
	}
	kept := &api.KeptLogs{Instances: []string{}}
	for _, entry := range entries {
		cut := strings.LastIndexByte(entry.Name(), '-')
		if cut < 0 || (service != "" && entry.Name()[:cut] != service) {
			continue
		}
		instance := entry.Name()[:cut] + "/" + entry.Name()[cut+1:]
		kept.Instances = append(kept.Instances, instance)
		err := a.parts.Logs.ReadKept(ctx, filepath.Join(root, entry.Name()), api.LogQuery{Tail: tail}, func(at time.Time, stream, text string) {
			sink.Emit(event.Event{Time: at, Type: event.Output, Project: e.project, Environment: e.name, Release: number.Number, Revision: number.Revision,
				Service: entry.Name()[:cut], Instance: instance, Subject: instance, Stream: stream, Text: text})
		})
		if err != nil {
			return nil, err
		}
	}
	return kept, nil
}
