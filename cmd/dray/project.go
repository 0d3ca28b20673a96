package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"dray/builder/images"
	"dray/cmd/internal/ui"
	"dray/deploy/environment"
	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/pipeline/config"
	"dray/pipeline/event"
	"dray/pipeline/run"
)

// project is the file, read, with everything that works on it.
type project struct {
	app          *app
	spec         *pipeline.Project // what the file declares
	git          config.Git
	lock         *config.Lock
	images       *images.Images
	sessions     *environment.Sessions
	environments *environment.Opener
}

// open reads the file and makes ready what works on hosts and images.
func (a *app) open(ctx context.Context) (*project, error) {
	loaded, git, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	p := &project{app: a, spec: loaded.Project, git: git}
	store, err := a.imageStore()
	if err != nil {
		return nil, err
	}
	if p.lock, err = a.readLock(loaded.Dir); err != nil {
		return nil, err
	}
	sink := event.With(a.view, func(*event.Event) {})
	p.images = images.New(images.Options{
		Project: p.spec, Store: store, Mirrors: a.settings.Mirrors, Pins: p.lock, Sink: sink,
	})
	p.sessions = &environment.Sessions{Actor: a.actor(), Dialer: ssh.NewDialer(), SSH: p.sshOptions, Images: p.images.Handler()}
	p.environments = &environment.Opener{
		Project: p.spec, Connector: p.sessions, Forget: p.sessions.Forget, Images: p.offer, AgentKey: p.lock.AgentKey, Actor: a.actor(), Sink: sink,
		Parallel: a.settings.Parallel, Lease: a.settings.Lease, LockWait: a.settings.LockWait,
	}
	return p, nil
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
	if loaded != nil {
		a.secrets.Add(loaded.Sensitive...)
	}
	if loaded == nil || len(diags) > 0 {
		a.showDiagnostics(diags)
	}
	if loaded == nil {
		return nil, git, &exitError{code: exitFailed}
	}
	return loaded, git, nil
}

// offer lets hosts have a release's images.
func (p *project) offer(release pipeline.Release, holders environment.Holders, sink event.Sink) (environment.Offer, error) {
	return p.images.Offer(release, holders, sink)
}

// openToLook opens for verbs that change nothing on a host.
func (a *app) openToLook(ctx context.Context) (*project, error) {
	p, err := a.open(ctx)
	if err == nil {
		p.onlyLook()
	}
	return p, err
}

// onlyLook brings nothing to a host from here on.
func (p *project) onlyLook() {
	p.sessions.OnlyLook()
	p.environments.Slow = func(env, host string) (stop func() bool) {
		return time.AfterFunc(ui.Patience, func() { p.app.remark(env + " " + host + ": connecting …") }).Stop
	}
}

// close ends the connections, and keeps the image store within its bounds. That
// it can't is told, and is no failure of what was done.
func (p *project) close() {
	p.sessions.Close()
	if err := p.images.Prune(context.Background(), p.app.settings.Keep); err != nil {
		p.app.remark(fmt.Sprintf("the image store was not pruned: %v", err))
	}
}

// runner wires the stages to the parts that do them.
func (p *project) runner() *run.Runner {
	return &run.Runner{
		Project: p.spec, Builder: p.builder(false), Images: p.images,
		Deployer: opener{p.environments}, Secrets: p.secrets, Actor: p.app.actor(), Source: p.source(),
		Parallel: min(p.app.settings.Parallel, max(2, runtime.NumCPU())),
		Sink:     event.With(p.app.view, func(*event.Event) {}), Now: time.Now,
	}
}

// opener gives the stages the environments that deploy/environment opens.
type opener struct{ *environment.Opener }

// Open connects to the environment's hosts.
func (o opener) Open(ctx context.Context, env *pipeline.Environment, skip []string, sink event.Sink) (run.Environment, error) {
	open, err := o.Opener.Open(ctx, env, skip, sink)
	if err != nil {
		return nil, err // a nil *Environment would be no nil
	}
	return open, nil
}

// begin says what was asked and where it goes.
func (p *project) begin(words ...string) {
	p.app.view.Emit(event.Event{
		Version: event.Version, Time: time.Now(), Type: event.RunStarted, Project: p.spec.Name,
		Text: strings.Join(slices.DeleteFunc(append([]string{p.spec.Name, p.sourceText()}, words...), func(s string) bool { return s == "" }), " · "),
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

// environment finds an environment by name.
func (p *project) environment(name string) (*pipeline.Environment, error) {
	if env := p.spec.Environment(name); env != nil {
		return env, nil
	}
	return nil, &pipeline.UnknownError{Kind: "environment", Name: name, Declared: environmentNames(p.spec)}
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
