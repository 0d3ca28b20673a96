package config

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"dray/pipeline"
)

func (l *loader) decodeEnvironments(p *pipeline.Project) {
	var all []*pipeline.Environment
	l.eachNamed("environment", func(name string, source *hcl.Block) {
		e := &pipeline.Environment{
			Name: name, Retain: defaultRetain, ConfirmWithin: defaultConfirmWithin, At: l.at(source.DefRange),
			Services: map[string]*pipeline.Service{}, Tasks: map[string]*pipeline.Task{},
		}
		b := l.open(source, kindEnvironment, named(source))
		b.require("hosts")
		b.say(e, "hosts")
		b.environmentArgs(e)
		if slices.Contains(e.Hosts, pipeline.LocalHost) {
			p.Hosts[pipeline.LocalHost] = &pipeline.Host{Name: pipeline.LocalHost, Address: pipeline.LocalHost}
		}
		b.environmentServices(e, p)
		b.environmentTasks(e, p)
		all = append(all, e)
	})
	if len(all) == 0 {
		l.faultAt(nil, "No environment", "Write environment \"dev\" { hosts = [host.local] } in %s to run the services on this machine.", l.mainName())
	}
	for _, name := range sortedKeys(p.Services) {
		l.settle(p.Services[name])
	}
	p.Environments = l.inOrder(all)
}

func (b *block) environmentArgs(e *pipeline.Environment) {
	hosts, ok := b.references("hosts", "host")
	if ok && len(hosts) == 0 && len(b.l.diags) == 0 {
		b.l.fault(b.rangeOf("hosts"), "No hosts", "Environment %q needs at least one host: hosts = [host.local] is this machine.", e.Name)
	}
	e.Hosts = hosts
	b.integer("retain", &e.Retain, 1, 1000)
	b.duration("confirm_within", &e.ConfirmWithin, 5*time.Second)
	b.blocksOf("promotion", func(n *hcl.Block) { e.Promotion = b.l.promotion(n) })
	b.blocksOf("verify", func(n *hcl.Block) { e.Verify = append(e.Verify, b.l.verify(n)) })
}

func (l *loader) promotion(source *hcl.Block) *pipeline.Promotion {
	b := l.open(source, kindPromotion, "promotion")
	b.require("from")
	p := &pipeline.Promotion{At: l.at(source.DefRange)}
	b.say(p, "from")
	if attr := b.content.Attributes["from"]; attr != nil {
		p.From, _ = l.reference(attr.Expr, "environment")
	}
	b.duration("min_age", &p.MinAge, 0)
	b.boolean("approve", &p.Approve)
	return p
}

func (l *loader) verify(source *hcl.Block) pipeline.Verify {
	b := l.open(source, kindVerify, named(source))
	b.require("command")
	v := pipeline.Verify{Name: source.Labels[0], Timeout: defaultVerifyTimeout, At: l.at(source.DefRange)}
	l.checkName("verify", v.Name, source.LabelRanges[0])
	if b.command("command", &v.Command) && len(v.Command) == 0 {
		l.fault(b.rangeOf("command"), "Empty command", `Write the program and its arguments: command = ["./smoke.sh"].`)
	}
	b.environment("env", &v.Env)
	b.duration("timeout", &v.Timeout, 10*time.Millisecond)
	return v
}

// environmentServices gives e the project's services, with its own changes
// merged over them.
func (b *block) environmentServices(e *pipeline.Environment, p *pipeline.Project) {
	l := b.l
	changes := map[string]*hcl.Block{}
	b.blocksOf("service", func(n *hcl.Block) {
		name := n.Labels[0]
		if p.Services[name] == nil {
			l.fault(n.LabelRanges[0], "Reference to undeclared service", "Environment %q changes service %q, which the project does not have.%s",
				e.Name, name, didYouMean(name, sortedKeys(p.Services)))
			return
		}
		changes[name] = n
	})
	for _, name := range sortedKeys(p.Services) {
		base := p.Services[name]
		if only, ok := l.only[base]; ok && !slices.Contains(only, e.Name) {
			if n := changes[name]; n != nil {
				l.fault(n.DefRange, "Service does not run here", "Service %q has environments = […] without %q (%s).", name, e.Name, base.At)
			}
			continue
		}
		s := cloneService(base)
		l.inherit(base, s)
		if n := changes[name]; n != nil {
			l.open(n, overrideOf(kindService), named(n)).service(s)
		}
		l.settle(s)
		e.Services[name] = s
	}
}

func (b *block) environmentTasks(e *pipeline.Environment, p *pipeline.Project) {
	l := b.l
	changes := map[string]*hcl.Block{}
	b.blocksOf("task", func(n *hcl.Block) {
		name := n.Labels[0]
		if p.Tasks[name] == nil {
			l.fault(n.LabelRanges[0], "Reference to undeclared task", "Environment %q changes task %q, which the project does not have.%s",
				e.Name, name, didYouMean(name, sortedKeys(p.Tasks)))
			return
		}
		changes[name] = n
	})
	for _, name := range sortedKeys(p.Tasks) {
		base := p.Tasks[name]
		if only, ok := l.only[base]; ok && !slices.Contains(only, e.Name) {
			continue
		}
		t := cloneTask(base)
		if n := changes[name]; n != nil {
			l.open(n, overrideOf(kindTask), named(n)).task(t)
		}
		e.Tasks[name] = t
	}
}

// overrideOf returns a kind without what an environment can't change.
func overrideOf(k kind) kind {
	k.args = slices.DeleteFunc(slices.Clone(k.args), func(name string) bool { return name == "environments" })
	return k
}

// inherit carries what was said of base over to its copy.
func (l *loader) inherit(base, clone *pipeline.Service) {
	for key, rng := range l.said {
		switch key.of {
		case base:
			l.said[saidKey{clone, key.argument}] = rng
		case base.Check:
			if base.Check != nil {
				l.said[saidKey{clone.Check, key.argument}] = rng
			}
		}
	}
}

// settle fills in defaults that depend on other arguments.
func (l *loader) settle(s *pipeline.Service) {
	if s.Update.MinHealthyTime != unset {
		return
	}
	s.Update.MinHealthyTime = min(defaultHealthyUnchecked, s.Update.HealthyDeadline/2)
	if s.Check != nil {
		s.Update.MinHealthyTime = min(defaultHealthyChecked, s.Update.HealthyDeadline/2)
	}
}

// inOrder puts a promotion's source before its destination and otherwise
// keeps the file's order. Circles are faults.
func (l *loader) inOrder(all []*pipeline.Environment) []*pipeline.Environment {
	byName := map[string]*pipeline.Environment{}
	for _, e := range all {
		byName[e.Name] = e
	}
	var out []*pipeline.Environment
	var stack []string
	placed := map[string]bool{}
	var place func(e *pipeline.Environment)
	place = func(e *pipeline.Environment) {
		if i := slices.Index(stack, e.Name); i >= 0 {
			l.fault(l.whereSaid(e.Promotion, "from", e.Promotion.At), "Promotion cycle",
				"No environment could be the first: %s.", strings.Join(append(slices.Clone(stack[i:]), e.Name), " → "))
			return
		}
		if placed[e.Name] {
			return
		}
		stack = append(stack, e.Name)
		if e.Promotion != nil && byName[e.Promotion.From] != nil {
			place(byName[e.Promotion.From])
		}
		stack = stack[:len(stack)-1]
		if !placed[e.Name] {
			placed[e.Name] = true
			out = append(out, e)
		}
	}
	for _, e := range all {
		place(e)
	}
	return out
}
