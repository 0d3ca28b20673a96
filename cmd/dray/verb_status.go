package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/pipeline/run"
	"dray/targets/api"
)

// hostView is what one host says of one environment.
type hostView struct {
	Environment string           `json:"environment"`
	Host        string           `json:"host"`
	Error       string           `json:"error,omitempty"` // it could not be asked
	State       *api.Environment `json:"state,omitempty"`
}

// environmentView is an environment over all its hosts.
type environmentView struct {
	Environment string            `json:"environment"`
	Release     int               `json:"release"` // 0: nothing, or the hosts differ
	Revision    int               `json:"revision,omitempty"`
	Since       time.Time         `json:"since,omitzero"`
	Images      map[string]string `json:"images"`   // service → digest
	Services    map[string]string `json:"services"` // service → "2/2 healthy"
	Notes       []string          `json:"notes,omitempty"`
	Hosts       []hostView        `json:"hosts"`

	differ map[string]string // service → which hosts run which digest, where they differ
}

func (v *environmentView) releaseNumber() pipeline.ReleaseNumber {
	return pipeline.ReleaseNumber{Number: v.Release, Revision: v.Revision}
}

func statusCommand(a *app) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [ENV]",
		Short: "What runs where, and what is wrong with it",
		Long: `status asks every host what runs there, and says what is wrong with it.

With --watch it goes on until Ctrl-C: at a terminal the picture is kept up to
date, on a pipe there is a line whenever something changes, with --json an
object. A host that goes away is shown, and again when it is back.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.openToLook(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			envs, err := p.chosen(args)
			if err != nil {
				return err
			}
			if watch {
				return p.watch(cmd.Context(), envs)
			}
			views := p.look(cmd.Context(), envs)
			if len(args) == 0 {
				views = p.addStrays(cmd.Context(), views)
			}
			return results(a, views, func(w io.Writer) error { return p.printStatus(w, views) })
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show what changes")
	return cmd
}

// chosen is the environment that args name, or all.
func (p *project) chosen(args []string) ([]*pipeline.Environment, error) {
	if len(args) == 0 {
		return p.project.Environments, nil
	}
	env, err := p.environment(args[0])
	return []*pipeline.Environment{env}, err
}

// look asks every host of every environment. One that does not answer is
// part of the picture, not a failure.
func (p *project) look(ctx context.Context, envs []*pipeline.Environment) []environmentView {
	views := make([]environmentView, len(envs))
	var group sync.WaitGroup
	slots := make(chan struct{}, max(p.app.settings.Parallel, 1))
	for i, env := range envs {
		views[i].Environment = env.Name
		views[i].Hosts = make([]hostView, len(env.Hosts))
		for j, name := range env.Hosts {
			group.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				views[i].Hosts[j] = p.lookAt(ctx, env, name)
			})
		}
	}
	group.Wait()
	for i, env := range envs {
		views[i].sum(env)
	}
	return views
}

func (p *project) lookAt(ctx context.Context, env *pipeline.Environment, name string) hostView {
	host, err := p.reach(ctx, env, name)
	if err != nil {
		return viewOf(p.project.Name, env.Name, name, nil, err)
	}
	state, err := host.Client.Environment(p.project.Name, env.Name).Get(ctx)
	return viewOf(p.project.Name, env.Name, name, state, err)
}

// viewOf makes a view of what asking a host gave. One without the environment,
// or without dray, runs nothing of it.
func viewOf(project, env, host string, state *api.Environment, err error) hostView {
	v := hostView{Environment: env, Host: host, State: state}
	var refused *api.Error
	if asError(err, &refused) && refused.Code == api.CodeNotFound || errors.Is(err, ssh.ErrAbsent) {
		v.State, err = &api.Environment{Project: project, Name: env}, nil
	}
	if err != nil {
		v.State, v.Error = nil, err.Error()
	}
	return v
}

func (p *project) printStatus(w io.Writer, views []environmentView) error {
	services := servicesOf(p.project, views)
	tw := tabwriter.NewWriter(w, 0, 4, 3, ' ', 0)
	fmt.Fprintf(tw, "\trelease\t\t%s\n", strings.Join(services, "\t"))
	for _, v := range views {
		number, age := "-", ""
		if v.Release > 0 {
			number, age = v.releaseNumber().String(), since(v.Since)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s", v.Environment, number, age)
		for _, s := range services {
			digest := phrase.Digest(v.Images[s])
			if v.differ[s] != "" {
				digest = "digests differ" // a note says which
			}
			fmt.Fprintf(tw, "\t%s", phrase.Words(v.Services[s], digest))
		}
		fmt.Fprintln(tw)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, v := range views {
		for _, n := range v.Notes {
			fmt.Fprintln(w, noteLine(v.Environment, n))
		}
	}
	p.printWaiting(w, views)
	return nil
}

// servicesOf lists the file's services, and those that run though the file has
// them no more.
func servicesOf(p *pipeline.Project, views []environmentView) []string {
	all := map[string]bool{}
	for name := range p.Services {
		all[name] = true
	}
	for _, v := range views {
		for name := range v.Services {
			all[name] = true
		}
	}
	return sortedNames(all)
}

// printWaiting says what could be promoted, and where the file says otherwise
// than what runs.
func (p *project) printWaiting(w io.Writer, views []environmentView) {
	byName := map[string]*environmentView{}
	for i := range views {
		byName[views[i].Environment] = &views[i]
	}
	for _, env := range p.project.Environments {
		to := byName[env.Name]
		if to == nil {
			continue
		}
		verb := "deploy"
		if env.Promotion != nil {
			verb = "promote"
			if from := byName[env.Promotion.From]; from != nil && from.Release > to.Release { // a revision is an environment's own
				fmt.Fprintf(w, "release %s of %s waits: dray promote %s%s\n", from.releaseNumber(), from.Environment, env.Name, hindrances(env.Promotion, from, to))
				continue
			}
		}
		if current := to.current(); current != nil && reconfigured(env, current) {
			fmt.Fprintf(w, "a change of configuration waits: dray %s %s (dray plan %[2]s shows it)\n", verb, env.Name)
		}
	}
}

// hindrances says what a promotion still lacks, as far as what was read tells:
// " (nobody has approved it; prod is locked)", or "".
func hindrances(gate *pipeline.Promotion, from, to *environmentView) string {
	var reasons []string
	if age := time.Since(from.Since); !from.Since.IsZero() && age < gate.MinAge.D() {
		reasons = append(reasons, fmt.Sprintf("it has run in %s for %s of %s", from.Environment, since(from.Since), gate.MinAge))
	}
	asked, approved, locked := false, false, false
	for _, h := range to.Hosts {
		if h.State != nil {
			asked = true
			locked = locked || h.State.Freeze != nil
			approved = approved || slices.ContainsFunc(h.State.Approvals, func(a api.Approval) bool { return a.Release == from.Release })
		}
	}
	if gate.Approve && asked && !approved {
		reasons = append(reasons, "nobody has approved it")
	}
	if locked {
		reasons = append(reasons, to.Environment+" is locked")
	}
	if len(reasons) == 0 {
		return ""
	}
	return " (" + strings.Join(reasons, "; ") + ")"
}

// current is the release that all hosts run, if they do.
func (v *environmentView) current() *pipeline.Release {
	for _, h := range v.Hosts {
		if v.Release > 0 && h.State != nil && h.State.Deployment == nil && h.State.Current.ReleaseNumber() == v.releaseNumber() {
			return h.State.Current
		}
	}
	return nil
}

// reconfigured tells whether the file says otherwise of an environment than the
// release that it runs, images apart.
func reconfigured(env *pipeline.Environment, current *pipeline.Release) bool {
	desired := run.Configured(env)
	desired.Images = current.Images
	return desired.ApprovalHash() != current.ApprovalHash()
}

// since is how long ago t was, in one unit.
func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(int(d.Seconds()), 0))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
