package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"dray/pipeline"
	"dray/pipeline/event"
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
	Since       time.Time         `json:"since,omitzero"`
	Images      map[string]string `json:"images"`   // service → digest
	Services    map[string]string `json:"services"` // service → "2/2 healthy"
	Notes       []string          `json:"notes,omitempty"`
	Hosts       []hostView        `json:"hosts"`
}

func statusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status [ENV]",
		Short: "What runs where, and what is wrong with it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			envs, err := p.chosen(args)
			if err != nil {
				return err
			}
			views := p.look(cmd.Context(), envs)
			return a.result(views, func(w io.Writer) error { return p.printStatus(w, views) })
		},
	}
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
	v := hostView{Environment: env.Name, Host: name}
	host, err := p.connector.Connect(ctx, *p.project.Hosts[name], event.Discard)
	if err == nil {
		v.State, err = host.Client.Environment(p.project.Name, env.Name).Get(ctx)
	}
	var refused *api.Error
	if asError(err, &refused) && refused.Code == api.CodeNotFound {
		v.State, err = &api.Environment{Project: p.project.Name, Name: env.Name}, nil
	}
	if err != nil {
		v.Error = err.Error()
	}
	return v
}

// sum draws one picture from what the hosts said.
func (v *environmentView) sum(env *pipeline.Environment) {
	v.Images, v.Services = map[string]string{}, map[string]string{}
	counts := map[string]*tally{}
	for _, name := range sortedNames(env.Services) {
		counts[name] = &tally{}
	}
	releases := map[int][]string{}
	for _, h := range v.Hosts {
		if h.Error != "" {
			v.Notes = append(v.Notes, h.Host+": "+h.Error)
			continue
		}
		v.note(h)
		current := h.State.Current
		if current == nil {
			releases[0] = append(releases[0], h.Host)
			continue
		}
		releases[current.Number] = append(releases[current.Number], h.Host)
		if h.State.Since.After(v.Since) {
			v.Since = h.State.Since
		}
		for _, s := range current.Services {
			v.Images[s.Name] = current.Images[s.Name].Digest
			if counts[s.Name] == nil {
				counts[s.Name] = &tally{}
			}
			counts[s.Name].add(s.Name, current, h)
		}
	}
	for name, t := range counts {
		v.Services[name] = t.String()
	}
	if len(releases) == 1 {
		for number := range releases {
			v.Release = number
		}
		return
	}
	for _, number := range sortedNames(releases) {
		v.Notes = append(v.Notes, fmt.Sprintf("%s: %s", strings.Join(releases[number], ", "), releaseName(number)))
	}
}

// note adds what is wrong with a host.
func (v *environmentView) note(h hostView) {
	s := h.State
	if d := s.Deployment; d != nil {
		v.Notes = append(v.Notes, fmt.Sprintf("%s: %s of release %d by %s is %s since %s", h.Host, d.Kind, d.Release, d.Actor.User, d.State, d.Started.Local().Format("15:04:05")))
		if s.Lease == nil {
			v.Notes = append(v.Notes, fmt.Sprintf("%s: nobody holds it any more: dray recover %s", h.Host, v.Environment))
		}
	}
	if l := s.Lease; l != nil {
		v.Notes = append(v.Notes, fmt.Sprintf("%s: being changed by %s on %s (%s)", h.Host, l.Holder.User, l.Holder.Machine, l.Holder.Command))
	}
	if f := s.Freeze; f != nil {
		v.Notes = append(v.Notes, fmt.Sprintf("%s: locked by %s: %s", h.Host, f.By.User, f.Reason))
	}
	for _, d := range s.Drift {
		v.Notes = append(v.Notes, fmt.Sprintf("drift on %s: %s", h.Host, join(d.Instance, d.Kind, d.Detail)))
	}
}

// tally counts the instances of a service.
type tally struct{ want, healthy, running int }

func (t *tally) add(service string, r *pipeline.Release, h hostView) {
	for _, name := range r.Placement[h.Host] {
		if !strings.HasPrefix(name, service+"/") {
			continue
		}
		t.want++
		i := slices.IndexFunc(h.State.Instances, func(s api.InstanceStatus) bool {
			return s.Instance == name && s.Release == r.Number && s.State == "running"
		})
		if i < 0 {
			continue
		}
		t.running++
		if s := h.State.Instances[i].Health; s == api.HealthHealthy || s == api.HealthNone {
			t.healthy++
		}
	}
}

func (t *tally) String() string {
	switch {
	case t.want == 0:
		return "-"
	case t.healthy == t.want:
		return fmt.Sprintf("%d/%d healthy", t.healthy, t.want)
	case t.running == t.want:
		return fmt.Sprintf("%d/%d healthy, %d running", t.healthy, t.want, t.running)
	}
	return fmt.Sprintf("%d/%d healthy, %d down", t.healthy, t.want, t.want-t.running)
}

func (p *project) printStatus(w io.Writer, views []environmentView) error {
	services := sortedNames(p.project.Services)
	tw := tabwriter.NewWriter(w, 0, 4, 3, ' ', 0)
	fmt.Fprintf(tw, "\trelease\t\t%s\n", strings.Join(services, "\t"))
	for _, v := range views {
		number, age := "-", ""
		if v.Release > 0 {
			number, age = fmt.Sprint(v.Release), since(v.Since)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s", v.Environment, number, age)
		for _, s := range services {
			fmt.Fprintf(tw, "\t%s", join(v.Services[s], shortDigest(v.Images[s])))
		}
		fmt.Fprintln(tw)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, v := range views {
		for _, n := range v.Notes {
			fmt.Fprintf(w, "! %s  %s\n", v.Environment, n)
		}
	}
	p.printWaiting(w, views)
	return nil
}

// printWaiting says what could be promoted.
func (p *project) printWaiting(w io.Writer, views []environmentView) {
	byName := map[string]*environmentView{}
	for i := range views {
		byName[views[i].Environment] = &views[i]
	}
	for _, env := range p.project.Environments {
		if env.Promotion == nil || byName[env.Name] == nil || byName[env.Promotion.From] == nil {
			continue
		}
		from, to := byName[env.Promotion.From], byName[env.Name]
		if from.Release > to.Release {
			fmt.Fprintf(w, "release %d of %s waits: dray promote %s\n", from.Release, from.Environment, env.Name)
		}
	}
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
