package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dray/builder/registry"
	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/config"
	"dray/pipeline/event"
	"dray/pipeline/run"
)

// project is the file, read, with everything that works on it.
type project struct {
	*config.Loaded
	app       *app
	project   *pipeline.Project
	git       config.Git
	lock      *config.Lock
	images    *registry.Store
	connector *connector
	pinning   sync.Mutex // held while the lock file's pins are written
}

// load reads the file. Its faults are printed whole.
func (a *app) load(ctx context.Context) (*config.Loaded, config.Git, error) {
	vars, err := parseVars(a.vars)
	if err != nil {
		return nil, config.Git{}, err
	}
	dir := "."
	if a.file != "" {
		dir = filepath.Dir(a.file)
	}
	git, err := config.ReadGit(ctx, dir)
	if err != nil {
		return nil, git, err
	}
	loaded, diags := config.Load(config.Options{
		File: a.file, Vars: vars, VarFiles: a.varFiles, Environ: os.Environ(),
		Git: func() (config.Git, error) { return git, nil },
	})
	if loaded == nil || len(diags) > 0 {
		a.showDiagnostics(diags)
	}
	if loaded == nil {
		return nil, git, &exitError{code: exitFailed}
	}
	return loaded, git, nil
}

// open reads the file and makes ready what works on hosts and images.
func (a *app) open(ctx context.Context) (*project, error) {
	loaded, git, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	p := &project{Loaded: loaded, app: a, project: loaded.Project, git: git}
	if p.images, err = registry.Open(filepath.Join(a.settings.DataDir, "images")); err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	if p.lock, err = a.readLock(loaded.Dir); err != nil {
		return nil, err
	}
	p.connector = newConnector(p)
	return p, nil
}

// openToLook opens for verbs that change nothing on a host.
func (a *app) openToLook(ctx context.Context) (*project, error) {
	p, err := a.open(ctx)
	if err == nil {
		p.connector.looking = true
	}
	return p, err
}

func (p *project) close() { p.connector.close() }

// runner wires the stages to the parts that do them.
func (p *project) runner() *run.Runner {
	return &run.Runner{
		Project: p.project, Builder: &targetBuilder{project: p}, Images: &imageMover{project: p},
		Deployer: &deployer{project: p}, Secrets: p.secrets, Actor: p.app.actor(), Source: p.source(),
		Sink: event.With(p.app.view, func(*event.Event) {}), Now: time.Now,
	}
}

// begin says what was asked and where it goes.
func (p *project) begin(words ...string) {
	p.app.view.Emit(event.Event{
		Version: event.Version, Time: time.Now(), Type: event.RunStarted, Project: p.project.Name,
		Text: strings.Join(slices.DeleteFunc(append([]string{p.project.Name, p.sourceText()}, words...), func(s string) bool { return s == "" }), " · "),
	})
}

func (p *project) source() pipeline.Source {
	return pipeline.Source{Commit: p.git.SHA, Branch: p.git.Branch, Dirty: p.git.Dirty}
}

func (p *project) sourceText() string {
	switch {
	case p.git.SHA == "":
		return ""
	case p.git.Dirty:
		return p.git.SHA[:7] + " (with uncommitted changes)"
	}
	return p.git.SHA[:7] + " (clean)"
}

// fleet connects to the hosts of an environment.
func (p *project) fleet(ctx context.Context, env *pipeline.Environment, sink event.Sink, skip ...string) (*deploy.Fleet, error) {
	o := deploy.Options{Project: p.project.Name, Environment: env.Name, Skip: skip, Parallel: p.app.settings.Parallel, Lease: p.app.settings.Lease}
	for _, name := range env.Hosts {
		o.Hosts = append(o.Hosts, *p.project.Hosts[name])
	}
	return deploy.Connect(ctx, p.connector, o, sink)
}

// environment finds an environment by name.
func (p *project) environment(name string) (*pipeline.Environment, error) {
	if env := p.project.Environment(name); env != nil {
		return env, nil
	}
	return nil, unknown("environment", name, "", environmentNames(p.project))
}

func parseVars(texts []string) (map[string]string, error) {
	vars := map[string]string{}
	for _, t := range texts {
		name, value, ok := strings.Cut(t, "=")
		if !ok {
			return nil, fmt.Errorf("--var %s: write it as NAME=VALUE", t)
		}
		vars[name] = value
	}
	return vars, nil
}

// sortedNames lists a map's keys in order.
func sortedNames[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
