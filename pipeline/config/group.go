package config

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// groupDecoder resolves groups, whose members are targets and other groups.
type groupDecoder struct {
	l       *loader
	p       *pipeline.Project
	members map[string][]member // by group, over all blocks of the name
	at      map[string]hcl.Range
	stack   []string
}

// member is a target or group that a group names.
type member struct {
	name string
	at   hcl.Range
}

// decodeGroups reads bake's groups. Blocks of one name add to each other.
func (l *loader) decodeGroups(p *pipeline.Project) {
	d := &groupDecoder{l: l, p: p, members: map[string][]member{}, at: map[string]hcl.Range{}}
	for _, source := range l.blocks["group"] {
		b := l.open(source, kindGroup, named(source))
		name := source.Labels[0]
		d.at[name] = source.DefRange
		d.members[name] = append(d.members[name], b.members()...)
		var description string
		b.text("description", &description)
	}
	for name, targets := range l.matrices {
		if _, declared := d.at[name]; declared || p.Targets[name] != nil {
			continue
		}
		for _, target := range targets {
			d.members[name] = append(d.members[name], member{name: target})
		}
	}
	for _, name := range sortedKeys(d.members) {
		if p.Groups == nil {
			p.Groups = map[string][]string{}
		}
		p.Groups[name] = d.targets(name)
	}
}

// members reads targets = […]: names, or references.
func (b *block) members() []member {
	attr := b.content.Attributes["targets"]
	if attr == nil {
		return nil
	}
	v, ok := b.l.scope.eval(attr.Expr)
	if !ok || v.IsNull() || !v.IsWhollyKnown() {
		return nil
	}
	v, _ = v.UnmarkDeep()
	if !v.CanIterateElements() {
		b.list("targets", new([]string)) // records the fault
		return nil
	}
	var out []member
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		switch {
		case e.IsNull():
		case e.Type().Equals(referenceTypes["target"]):
			out = append(out, member{referenceName(e), attr.Expr.Range()})
		case e.Type() == cty.String:
			if e.AsString() != "" { // as bake: a condition may leave it empty
				out = append(out, member{e.AsString(), attr.Expr.Range()})
			}
		default:
			b.l.fault(attr.Expr.Range(), "Wrong type for \"targets\"", "targets is a list of names, and an element is %s.", valueName(e))
		}
	}
	return out
}

// targets returns the targets of a group, those of its groups among them, each
// once.
func (d *groupDecoder) targets(name string) []string {
	d.stack = append(d.stack, name)
	defer func() { d.stack = d.stack[:len(d.stack)-1] }()
	out := []string{}
	add := func(names ...string) {
		for _, n := range names {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	for _, m := range d.members[name] {
		_, isGroup := d.members[m.name]
		switch {
		case isGroup && slices.Contains(d.stack, m.name):
			if m.name != name || d.p.Targets[name] == nil { // a group may hold the target of its own name
				d.cycle(m)
				continue
			}
			add(m.name)
		case isGroup:
			add(d.targets(m.name)...)
		case d.p.Targets[m.name] != nil:
			add(m.name)
		default:
			known := append(sortedKeys(d.p.Targets), sortedKeys(d.members)...)
			d.l.fault(m.at, "Reference to undeclared target", "Group %q names %q, which is neither a target nor a group.%s", name, m.name, phrase.DidYouMean(m.name, known))
		}
	}
	return out
}

// cycle records that a group is in itself, once for each circle.
func (d *groupDecoder) cycle(m member) {
	if m.name == d.stack[0] {
		d.l.fault(m.at, "Group cycle", "Group %q is in itself: %s.", m.name, strings.Join(append(slices.Clone(d.stack), m.name), " → "))
	}
}
