package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"dray/cmd/internal/ui"
	"dray/cmd/internal/usage"
	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/output"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// logOptions say which lines are wanted, and of what.
type logOptions struct {
	tail, since, until string // as they are written
	times              bool
	of                 string // a release as it is written
	release            pipeline.ReleaseNumber
	run                string // of a task: 12, or HOST/12
	query              api.LogQuery
}

func logsCommand(a *app) *cobra.Command {
	o := &logOptions{}
	cmd := &cobra.Command{
		Use:   "logs ENV [SERVICE[/INDEX]|TASK]",
		Short: "Show what containers and tasks wrote",
		Long: `logs shows what the containers of a service wrote, or a run of a task: the
newest one, or another that dray task list shows.`,
		Example: "  dray logs prod web -f\n  dray logs prod web/2 --since 10m\n  dray logs prod migrate\n  dray logs prod migrate --run 12",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.read(cmd); err != nil {
				return err
			}
			name := ""
			if len(args) == 2 {
				name = args[1]
			}
			return a.logs(cmd.Context(), args[0], name, *o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.query.Follow, "follow", "f", false, "go on with what comes")
	flags.StringVarP(&o.tail, "tail", "n", "100", "last lines of each container, or \"all\"; of a task all by default")
	flags.BoolVarP(&o.times, "timestamps", "t", false, "show when each line was written")
	flags.StringVar(&o.since, "since", "", "only from then on: 10m ago, 15:04, or a date and time")
	flags.StringVar(&o.until, "until", "", "only up to then")
	flags.StringVar(&o.of, "release", "", "of that release, such as 42 or 42.1, instead of what runs")
	flags.StringVar(&o.run, "run", "", "of that run of a task, instead of the newest: 12, or HOST/12")
	return cmd
}

// read makes the query of what the flags say.
func (o *logOptions) read(cmd *cobra.Command) (err error) {
	for name, at := range map[string]struct {
		text string
		to   *time.Time
	}{"since": {o.since, &o.query.Since}, "until": {o.until, &o.query.Until}} {
		if *at.to, err = pointInTime(at.text, time.Now()); err != nil {
			return usage.Misused(cmd, fmt.Sprintf("--%s %s: %v", name, at.text, err))
		}
	}
	if o.of != "" {
		if o.release, _, err = pipeline.ParseReleaseNumber(o.of); err != nil {
			return usage.Misused(cmd, fmt.Sprintf("--release: %v", err))
		}
	}
	lines, err := strconv.Atoi(o.tail)
	switch {
	case o.tail == "all":
	case err != nil || lines < 0:
		return usage.Misused(cmd, fmt.Sprintf("--tail %s: give a number of lines, or all", o.tail))
	case lines == 0:
		o.query.Tail = -1
	case cmd.Flags().Changed("tail"):
		o.query.Tail = lines
	}
	return nil
}

// engine is the query as the Engine API has it.
func (o *logOptions) engine() url.Values {
	query := url.Values{"stdout": {"1"}, "stderr": {"1"}, "tail": {o.tail}}
	setBool(query, "follow", o.query.Follow)
	setBool(query, "timestamps", o.times)
	for name, at := range map[string]time.Time{"since": o.query.Since, "until": o.query.Until} {
		if !at.IsZero() {
			query.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	return query
}

// pointInTime reads a time, or how long ago it was: 10m. "" is no time.
func pointInTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d.Abs()), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateTime, "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	today := now.Format(time.DateOnly) + " "
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, today+text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("write a time such as 10m, 15:04 or 2026-11-22T15:04:05Z")
}

func setBool(q url.Values, name string, value bool) {
	if value {
		q.Set(name, "1")
	}
}

func (a *app) logs(ctx context.Context, envName, name string, o logOptions) error {
	p, err := a.openToLook(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	env, err := p.environment(envName)
	if err != nil {
		return err
	}
	service, _, _ := strings.Cut(name, "/")
	switch isService := env.Services[service] != nil; {
	case env.Tasks[name] != nil && (!isService || o.run != ""):
		return p.taskLogs(ctx, env, name, o)
	case name != "" && !isService:
		return &pipeline.UnknownError{Kind: "service or task", Name: service, Where: "in " + env.Name, Declared: slices.Concat(sortedNames(env.Services), sortedNames(env.Tasks))}
	case o.run != "":
		return &exitError{code: exitFailed, failure: failure("--run "+o.run+": name the task whose run that is", "dray task list "+env.Name)}
	}
	return p.serviceLogs(ctx, env, name, o)
}

func (p *project) serviceLogs(ctx context.Context, env *pipeline.Environment, service string, o logOptions) error {
	containers, missed, err := p.environments.Find(ctx, env, service)
	if err != nil {
		return err
	}
	containers = environment.OfRelease(containers, o.release, p.environments.ReleasesOf(ctx, env.Name, containers))
	if len(containers) == 0 && o.release.Known() {
		return p.keptLogs(ctx, env, service, o)
	}
	if len(containers) == 0 {
		return p.environments.Nothing(missed, env.Name, service)
	}
	p.app.view.Close()
	p.app.tellSilent(env, missed)
	o.times = o.times || p.app.settings.JSON
	query := o.engine()
	var mu sync.Mutex
	var group errgroup.Group
	for _, c := range containers {
		out, errOut := p.writers(env, &c, &mu, len(containers) > 1)
		group.Go(func() error {
			err := c.Engine.Logs(ctx, c.ID, query, false, out, errOut)
			return errors.Join(err, out.Flush(), errOut.Flush())
		})
	}
	return group.Wait()
}

// writers take the lines of a container's two streams: as they are, behind the
// container's name where there are several, or as events.
func (p *project) writers(env *pipeline.Environment, c *environment.Container, mu *sync.Mutex, several bool) (out, errOut *output.Lines) {
	if p.app.settings.JSON {
		stamped := func(stream string) *output.Lines {
			e := event.Event{Type: event.Output, Project: p.spec.Name, Environment: env.Name, Host: c.Engine.Host,
				Service: c.Labels["dray.service"], Instance: c.Instance(), Stream: stream}
			return &output.Lines{Each: func(line []byte) error {
				e.Time, e.Text = stamp(string(line))
				p.app.emit(e)
				return nil
			}}
		}
		return stamped("stdout"), stamped("stderr")
	}
	prefix := ""
	if several {
		prefix = fmt.Sprintf("%s %s | ", c.Engine.Host, c.Instance())
	}
	return ui.Prefixed(mu, os.Stdout, prefix), ui.Prefixed(mu, os.Stderr, prefix)
}

// keptLogs shows what the containers of a failed release wrote, which are gone.
func (p *project) keptLogs(ctx context.Context, env *pipeline.Environment, service string, o logOptions) error {
	name, _, _ := strings.Cut(service, "/")
	last, err := strconv.Atoi(o.tail)
	if err != nil {
		last = 0 // "all"
	}
	answers, missed, err := ask(ctx, p, env, func(ctx context.Context, h *deploy.Host) (int, error) {
		show := event.Func(func(e event.Event) {
			if p.app.settings.JSON {
				e.Host = h.Name
				p.app.emit(e)
				return
			}
			fmt.Fprintf(p.app.out, "%s %s | %s\n", h.Name, e.Instance, e.Text)
		})
		kept, err := h.Client.Environment(p.spec.Name, env.Name).ReleaseLogs(ctx, o.release, name, last, show)
		var refused *api.Error
		if asError(err, &refused) && refused.Code == api.CodeNotFound {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		return len(kept.Instances), nil
	})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(answers, func(a environment.Answer[int]) bool { return a.Value > 0 }) {
		return p.environments.Nothing(missed, env.Name, phrase.Words(cmp.Or(service, p.spec.Name), fmt.Sprintf("of release %s", o.release)))
	}
	p.app.tellSilent(env, missed)
	return nil
}

// stamp parts a line from the time in front of it.
func stamp(line string) (time.Time, string) {
	at, text, _ := strings.Cut(line, " ")
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return time.Time{}, line
	}
	return t, text
}
