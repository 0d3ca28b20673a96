package config

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

func (l *loader) decodeEnvironments(p *pipeline.Project) {
	l.eachNamed("environment", func(name string, source *hcl.Block) {
		e := &pipeline.Environment{
			Name: name, Retain: defaultRetain, ConfirmWithin: defaultConfirmWithin, At: l.posOf(source.DefRange),
			Services: map[string]*pipeline.Service{}, Tasks: map[string]*pipeline.Task{},
		}
		d := &environmentDeclaration{declaration: newDeclaration(), value: e}
		b := l.open(source, kindEnvironment, named(source))
		b.require("hosts")
		b.note(d.declaration, "", "hosts")
		b.environmentArgs(d)
		if slices.Contains(e.Hosts, pipeline.LocalHost) {
			p.Hosts[pipeline.LocalHost] = &pipeline.Host{Name: pipeline.LocalHost, Address: pipeline.LocalHost}
		}
		b.environmentServices(d)
		b.environmentTasks(d)
		l.environments = append(l.environments, d)
	})
	if len(l.environments) == 0 && (len(p.Targets) == 0 || len(p.Services)+len(p.Tasks) > 0) {
		l.faultAt(nil, "No environment", "Write environment \"dev\" { hosts = [host.local] } in %s to run the services on this machine.", l.mainName())
	}
	p.Environments = l.inOrder()
}

// environmentDeclaration is an environment with what it runs, by name.
type environmentDeclaration struct {
	declaration
	value    *pipeline.Environment
	services []*serviceDeclaration
	tasks    []*taskDeclaration
}

func (b *block) environmentArgs(d *environmentDeclaration) {
	e := d.value
	hosts, ok := b.references("hosts", "host")
	if ok && len(hosts) == 0 {
		b.l.fault(b.rangeOf("hosts"), "No hosts", "Environment %q needs at least one host: hosts = [host.local] is this machine.", e.Name)
	}
	e.Hosts = hosts
	b.integer("retain", &e.Retain, 1, 1000)
	b.duration("confirm_within", &e.ConfirmWithin, 5*time.Second)
	b.blocksOf("promotion", func(n *hcl.Block) { e.Promotion = b.l.promotion(n, d.declaration) })
	b.blocksOf("verify", func(n *hcl.Block) { e.Verify = append(e.Verify, b.l.verify(n)) })
}

func (l *loader) promotion(source *hcl.Block, d declaration) *pipeline.Promotion {
	b := l.open(source, kindPromotion, "promotion")
	b.require("from")
	p := &pipeline.Promotion{At: l.posOf(source.DefRange)}
	b.note(d, "promotion.", "from")
	if attr := b.content.Attributes["from"]; attr != nil {
		p.From, _ = l.reference(attr.Expr, "environment")
	}
	b.duration("min_age", &p.MinAge, 0)
	b.boolean("approve", &p.Approve)
	b.boolean("prevent_self_approval", &p.PreventSelfApproval)
	if p.PreventSelfApproval && !p.Approve {
		l.fault(b.rangeOf("prevent_self_approval"), "Nothing to approve", "prevent_self_approval says who may approve, and this gate asks for no approval: add approve = true.")
	}
	return p
}

func (l *loader) verify(source *hcl.Block) pipeline.Verify {
	b := l.open(source, kindVerify, named(source))
	b.require("command")
	v := pipeline.Verify{Name: source.Labels[0], Timeout: defaultVerifyTimeout, At: l.posOf(source.DefRange)}
	l.checkName("verify", v.Name, source.LabelRanges[0])
	if b.command("command", &v.Command) && len(v.Command) == 0 {
		l.fault(b.rangeOf("command"), "Empty command", `Write the program and its arguments: command = ["./smoke.sh"].`)
	}
	b.environment("env", &v.Env)
	b.duration("timeout", &v.Timeout, 10*time.Millisecond)
	return v
}

// environmentServices gives the environment the project's services, with its
// own changes merged over them.
func (b *block) environmentServices(d *environmentDeclaration) {
	changes := b.changes("service", d.value.Name, sortedKeys(b.l.services), func(name string) (declaration, pipeline.Pos) {
		s := b.l.services[name]
		return s.declaration, s.value.At
	})
	for _, name := range sortedKeys(b.l.services) {
		base := b.l.services[name]
		if !base.runsIn(d.value.Name) {
			continue
		}
		s := base.clone()
		for _, n := range changes[name] {
			b.l.open(n, overrideOf(kindService), named(n)).service(s)
		}
		s = s.resolved()
		d.services = append(d.services, s)
		d.value.Services[name] = s.value
	}
}

func (b *block) environmentTasks(d *environmentDeclaration) {
	changes := b.changes("task", d.value.Name, sortedKeys(b.l.tasks), func(name string) (declaration, pipeline.Pos) {
		t := b.l.tasks[name]
		return t.declaration, t.value.At
	})
	for _, name := range sortedKeys(b.l.tasks) {
		base := b.l.tasks[name]
		if !base.runsIn(d.value.Name) {
			continue
		}
		t := base.clone()
		for _, n := range changes[name] {
			b.l.open(n, overrideOf(kindTask), named(n)).task(t)
		}
		t = t.resolved()
		d.tasks = append(d.tasks, t)
		d.value.Tasks[name] = t.value
	}
}

// changes returns an environment's blocks of a type by the name of what they
// change, and records a fault for each that has nothing to change. One for a
// block with for_each changes all its instances, before those for single ones.
func (b *block) changes(typ, env string, names []string, of func(name string) (declaration, pipeline.Pos)) map[string][]*hcl.Block {
	out := map[string][]*hcl.Block{}
	b.blocksOf(typ, func(n *hcl.Block) {
		name := n.Labels[0]
		if instances := b.l.repeats[typ+"."+name]; instances != nil {
			for _, one := range instances {
				out[one] = append([]*hcl.Block{n}, out[one]...)
			}
			return
		}
		if !slices.Contains(names, name) {
			b.l.fault(n.LabelRanges[0], "Reference to undeclared "+typ, "Environment %q changes %s %q, which the project does not have.%s",
				env, typ, name, phrase.DidYouMean(name, names))
			return
		}
		if d, at := of(name); !d.runsIn(env) {
			b.l.fault(n.DefRange, phrase.Capital(typ)+" does not run here", "%s %q has environments = […] without %q (%s).", phrase.Capital(typ), name, env, at)
			return
		}
		out[name] = append(out[name], n)
	})
	return out
}

// overrideOf returns a kind without what an environment can't change.
func overrideOf(k kind) kind {
	k.args = slices.DeleteFunc(slices.Clone(k.args), func(name string) bool { return name == "environments" || name == "for_each" })
	return k
}

// inOrder puts a promotion's source before its destination and otherwise
// keeps the file's order. Circles are faults.
func (l *loader) inOrder() []*pipeline.Environment {
	byName := map[string]*environmentDeclaration{}
	for _, d := range l.environments {
		byName[d.value.Name] = d
	}
	var out []*pipeline.Environment
	var stack []string
	placed := map[string]bool{}
	var place func(d *environmentDeclaration)
	place = func(d *environmentDeclaration) {
		e := d.value
		if i := slices.Index(stack, e.Name); i >= 0 {
			l.fault(d.rangeOf("promotion.from", l.rangeAt(e.Promotion.At)), "Promotion cycle",
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
	for _, d := range l.environments {
		place(d)
	}
	return out
}
