package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"dray/testenv"
	"dray/testenv/mirror"
	"dray/testenv/world"
)

// Options say what to measure with.
type Options struct {
	Bin    string       // folder with dray, drayd and dray-oci
	Source string       // the checkout, for examples/web
	Count  int          // runs of each measure; default 5
	Hosts  int          // light hosts of the fleet's row; 0: leave it out
	Logger *slog.Logger // default: discards
}

// Bench is what is measured: a lab, a project, and how far it is.
type Bench struct {
	Options
	world    *world.World
	app      *app
	dir      string // temporary; everything but the lab's state is here
	deployed map[string]bool
	before   Use      // of the machine, before anything was done
	runtimes []Result // of the OCI runtimes; nil: not measured yet
	engines  *engines // Docker's; nil: not made yet, or noEngines says why not

	noEngines error
}

// The lab's hosts. Each environment has its own, so that a row can do to one
// what others must not see.
var environments = []struct {
	name  string
	hosts []string
	count string
}{
	{"one", []string{"o1"}, "1"},
	{"three", []string{"p1", "p2", "p3"}, "3"},
	{"clean", []string{"c1"}, "1"},
	{"crowd", []string{"m1"}, "var.count"},
}

// New brings up the lab and writes the project. Close takes all of it away.
func New(ctx context.Context, o Options) (_ *Bench, err error) {
	if o.Count <= 0 {
		o.Count = 5
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Bench{Options: o, deployed: map[string]bool{}}
	if b.before, err = observe(ctx); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "dbench"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close(context.WithoutCancel(ctx)))
		}
	}()
	var hosts []string
	for _, e := range environments {
		hosts = append(hosts, e.hosts...)
	}
	lab, err := testenv.Make(ctx, testenv.Options{Hosts: hosts, Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("bringing up the lab: %w", err)
	}
	b.world = &world.World{Lab: lab}
	m, err := mirror.Start(context.WithoutCancel(ctx), filepath.Join(b.dir, "mirror"))
	if err != nil {
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	b.world.Mirror = m
	if b.world, err = world.Make(o.Bin, b.dir, lab, m); err != nil {
		return nil, err
	}
	if b.app, err = newApp(ctx, b); err != nil {
		return nil, fmt.Errorf("making what is deployed: %w", err)
	}
	return b, nil
}

// Close ends the builder, the lab and the registry, and removes every file.
func (b *Bench) Close(ctx context.Context) error {
	var errs []error
	if b.engines != nil {
		errs = append(errs, b.engines.close(ctx))
	}
	if w := b.world; w != nil {
		if w.Bin != "" {
			if r := w.Run(ctx, "builder", "stop"); r.Code != 0 {
				errs = append(errs, fmt.Errorf("stopping the builder: %s", r))
			}
		}
		errs = append(errs, w.Lab.Close(ctx))
		if w.Mirror != nil {
			errs = append(errs, w.Mirror.Close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// Row is something that is measured; it may give several lines.
type Row struct {
	Name    string // for -run
	measure func(context.Context, *Bench) ([]Result, error)
}

// Rows are all there are, in the order of the table.
func Rows() []Row {
	return []Row{
		{"oci", measureRuntimes},
		{"build-noop", measureNoopBuild},
		{"docker-build", withDocker("Docker here: `docker build`", dockerBuild)},
		{"change-one", measureChangeOne},
		{"change-three", measureChangeThree},
		{"docker-script", withDocker("Docker here: a script", dockerScript)},
		{"noop-one", measureNoopOne},
		{"noop-three", measureNoopThree},
		{"first", measureFirst},
		{"rollback", measureRollback},
		{"exec", measureExec},
		{"pull", measurePull},
		{"docker-pull", withDocker("Docker here: `docker pull`", dockerPull)},
		{"answer", measureAnswer},
		{"docker-answer", withDocker("Docker here: `docker run -d`", dockerAnswer)},
		{"memory", measureMemory},
		{"docker-memory", withDocker("Docker here: the engine idle", dockerMemory)},
		{"disk", measureDisk},
		{"lost", measureLost},
		{"docker-lost", withDocker("Docker here: requests lost", dockerLost)},
		{"p99", measureLatency},
		{"bundle", measureBundle},
		{"fleet", measureFleet},
	}
}

// Select gives the rows whose names match.
func Select(rows []Row, pattern *regexp.Regexp) []Row {
	var out []Row
	for _, r := range rows {
		if pattern.MatchString(r.Name) {
			out = append(out, r)
		}
	}
	return out
}

// Run measures rows, one after the other. One that fails is a line that says
// so; when ctx ends, the rest is left out. done hears of each row. What "runc
// run" takes is measured first in any case: times are compared with it.
func (b *Bench) Run(ctx context.Context, rows []Row, done func(row string, took time.Duration, results []Result)) *Report {
	report := newReport(b.Count)
	report.Before, report.leftOut = b.before, without(Rows(), rows)
	machine := startWatch()
	report.RuncRun = b.runcRun(ctx)
	for _, row := range rows {
		if ctx.Err() != nil {
			break
		}
		began := time.Now()
		results, err := row.measure(ctx, b)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			results = append(results, Result{Measure: row.Name, Error: err.Error()})
		}
		lap, _ := machine.lap()
		for i := range results {
			results[i].Row, results[i].Machine = row.Name, lap
			results[i].complete(report.RuncRun)
		}
		report.Results = append(report.Results, results...)
		done(row.Name, time.Since(began), results)
	}
	report.Interrupted = ctx.Err() != nil
	_, report.During = machine.lap()
	report.end(machine.err)
	return report
}

// without gives the names of rows that are not among others.
func without(rows, others []Row) (names []string) {
	for _, r := range rows {
		if !slices.ContainsFunc(others, func(o Row) bool { return o.Name == r.Name }) {
			names = append(names, r.Name)
		}
	}
	return names
}
