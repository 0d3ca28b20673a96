package agent

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dray/deploy"
	"dray/deploy/strategy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/plan"
	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// edits is how many edits of a file the plan is compared over.
const edits = 520

// TestPlanSaysWhatDeployDoes compares, over random edits of a file and of what
// runs, the plan with what a deployment then does on two real agents: an empty
// plan means that nothing changes, and the plan names exactly the instances
// that are replaced, recreated, started, added and removed.
func TestPlanSaysWhatDeployDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		e := &editor{Rand: rand.New(rand.NewPCG(1, 2))}
		now := newFile()
		past := []*file{now.clone()}
		counted := map[string]int{}
		most, least := edits, 5
		if raced { // what goes on at once is the same each time
			most, least = edits/10, 0
		}
		for n := range most {
			what := e.edit(now)
			switch {
			case n == 0:
				now, what = newFile(), "the first"
			case e.IntN(10) == 0:
				now, what = pick(e, past).clone(), "an earlier file"
			case e.IntN(8) == 0:
				what += ", and " + s.drift(e)
			}
			past = append(past, now.clone())
			found := s.compare(now)
			counted[found]++
			if t.Failed() {
				t.Fatalf("after edit %d: %s", n, what)
			}
		}
		t.Logf("%v", counted)
		for _, kind := range []string{"nothing", "in place", plan.StepReplace, plan.StepRecreate, plan.StepAdd, plan.StepRemove, plan.StepStart} {
			if counted[kind] < least {
				t.Errorf("only %d edits came to %q: that shows too little", counted[kind], kind)
			}
		}
	})
}

// stage is two hosts, each with an agent at work on a world of its own.
type stage struct {
	t      *testing.T
	worlds map[string]*world
	agents map[string]*running
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, worlds: map[string]*world{}, agents: map[string]*running{}}
	for _, name := range []string{"p1", "p2"} {
		s.worlds[name] = newWorld(t)
		s.agents[name] = s.worlds[name].boot(0)
	}
	return s
}

func (s *stage) close() {
	for _, r := range s.agents {
		r.stop()
	}
}

// Connect is a deploy.Connector.
func (s *stage) Connect(_ context.Context, host pipeline.Host, _ event.Sink) (*deploy.Host, error) {
	return &deploy.Host{Name: host.Name, Client: s.agents[host.Name].client, Close: func() error { return nil }}, nil
}

// drift does something by hand to an instance that runs.
func (s *stage) drift(e *editor) string {
	w := s.worlds[pick(e, []string{"p1", "p2"})]
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(w.containers)) {
		c := w.containers[id]
		if c.State != runtime.Running || e.IntN(2) == 0 {
			continue
		}
		switch e.IntN(3) {
		case 0:
			c.State, c.Wanted, c.Finished = runtime.Exited, false, time.Now()
			return c.Spec.Name + " stopped"
		case 1:
			delete(w.containers, id)
			return c.Spec.Name + " removed"
		}
		c.Spec.Labels = maps.Clone(c.Spec.Labels)
		c.Spec.Labels[labelFingerprint] = "by hand"
		return c.Spec.Name + " made of something else"
	}
	return "no drift"
}

// compare plans and deploys a file, and returns what kind of change it was.
func (s *stage) compare(f *file) string {
	ctx, release := s.t.Context(), f.release()
	var hosts []pipeline.Host
	for _, name := range f.Hosts {
		hosts = append(hosts, pipeline.Host{Name: name})
	}
	fleet, err := deploy.Connect(ctx, s, deploy.Options{Project: "shop", Environment: "prod", Hosts: hosts}, event.Discard)
	if err != nil {
		s.t.Fatal(err)
	}
	services := map[string]*pipeline.Service{}
	for i := range release.Services {
		services[release.Services[i].Name] = &release.Services[i]
	}
	place := func(_ *pipeline.Release, now map[string][]string) (map[string][]string, error) {
		return plan.Place(services, f.Hosts, now), nil
	}
	planned := s.plan(fleet, release, place)
	before := s.instances(f.Hosts)
	values := map[string]string{}
	for _, version := range release.Secrets {
		values[version] = "value"
	}
	done, err := fleet.Deploy(ctx, deploy.Request{
		Deployment: pipeline.Deployment{Kind: pipeline.KindDeploy, Release: release, Secrets: values, Continue: func(context.Context, string) error { return nil }},
		Place:      place,
		Sources: func(*deploy.Host, pipeline.ReleaseImage) []pipeline.ImageSource {
			return []pipeline.ImageSource{{Kind: "peer", Address: "/run/dray/peer/1.sock"}}
		},
	})
	if err != nil {
		s.t.Errorf("deploying: %v", err)
		return ""
	}
	synctest.Wait()
	if done.Unchanged == planned.Pending {
		s.t.Errorf("the plan is pending: %t; the deployment changed nothing: %t", planned.Pending, done.Unchanged)
	}
	told, did := s.told(planned), s.did(before, s.instances(f.Hosts))
	if !slices.Equal(told, did) {
		s.t.Errorf("planned: %v\ndeployed: %v", told, did)
	}
	if planned.Pending && len(planned.Drift) == 0 && !shows(planned) {
		s.t.Errorf("the plan is pending and shows nothing: %+v", planned)
	}
	time.Sleep(time.Minute) // what was replaced drains and ends; time is the bubble's
	return s.kind(planned, told)
}

func (s *stage) plan(fleet *deploy.Fleet, release api.Release, place deploy.Placer) *plan.Plan {
	desired, err := fleet.Preview(s.t.Context(), release, place)
	if err != nil {
		s.t.Fatal(err)
	}
	seen, err := fleet.Observe(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	in := plan.Input{Desired: desired, Foresee: func(s *pipeline.Service, changed []plan.Placed, count int) plan.Outlook {
		var instances []strategy.Instance
		for _, p := range changed {
			instances = append(instances, strategy.Instance(p))
		}
		return plan.Outlook(strategy.Foresee(s, instances, count))
	}}
	for _, name := range fleet.Names() {
		in.Hosts = append(in.Hosts, deploy.Observed(name, seen[name]))
	}
	return plan.New(in)
}

// shows says that a person sees why something is to do.
func shows(p *plan.Plan) bool {
	return slices.ContainsFunc(p.Changes, func(c plan.Change) bool {
		return c.Action != plan.Keep && (c.Action != plan.Update || len(c.Fields)+len(c.Steps) > 0)
	}) || uneven(p)
}

// uneven says that the hosts run different releases: the headline says so.
func uneven(p *plan.Plan) bool {
	numbers := map[pipeline.ReleaseNumber]bool{}
	for _, n := range p.From {
		numbers[n] = true
	}
	return len(numbers) > 1
}

func (s *stage) kind(p *plan.Plan, steps []string) string {
	switch {
	case !p.Pending:
		return "nothing"
	case len(steps) == 0:
		return "in place"
	}
	_, kind, _ := strings.Cut(steps[0], ": ")
	return kind
}

// told lists the steps of a plan: "p1 web/1: replace".
func (s *stage) told(p *plan.Plan) []string {
	var out []string
	for _, c := range p.Changes {
		for _, step := range c.Steps {
			out = append(out, fmt.Sprintf("%s %s: %s", step.Host, step.Instance, step.Action))
		}
	}
	slices.Sort(out)
	return out
}

// instances returns what each host has for each instance: "p1 web/1".
func (s *stage) instances(hosts []string) map[string]api.InstanceStatus {
	out := map[string]api.InstanceStatus{}
	for _, host := range hosts {
		env, err := s.agents[host].Get(s.t.Context())
		if err != nil || env.Current == nil {
			continue // nothing was ever there
		}
		for _, i := range env.Instances {
			out[host+" "+i.Instance] = i
		}
	}
	return out
}

// did lists what was done to the instances, as told does.
func (s *stage) did(before, after map[string]api.InstanceStatus) []string {
	names := slices.Collect(maps.Keys(before))
	names = slices.AppendSeq(names, maps.Keys(after))
	slices.Sort(names)
	var out []string
	for _, name := range slices.Compact(names) {
		was, had := before[name]
		is, has := after[name]
		host, instance, _ := strings.Cut(name, " ")
		switch {
		case has && !is.Serving:
			out = append(out, name+": does not serve")
		case !had:
			out = append(out, name+": "+plan.StepAdd)
		case !has:
			out = append(out, name+": "+plan.StepRemove)
		case was.ContainerID != is.ContainerID && s.stoppedFirst(host, instance):
			out = append(out, name+": "+plan.StepRecreate)
		case was.ContainerID != is.ContainerID:
			out = append(out, name+": "+plan.StepReplace)
		case !was.Serving:
			out = append(out, name+": "+plan.StepStart)
		case was.Started != is.Started:
			out = append(out, name+": was restarted")
		}
	}
	return out
}

// stoppedFirst says that the host's last deployment stopped the old container of
// an instance before the new one started.
func (s *stage) stoppedFirst(host, instance string) bool {
	a, first := s.agents[host].agent, false
	err := a.journal.View(func(t *journal.Tx) error {
		r, _, err := t.Environment("shop", "prod")
		if err != nil {
			return err
		}
		d, err := t.Deployment(r.Current)
		first = d != nil && slices.Contains(d.StopFirst, instance)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return first
}
