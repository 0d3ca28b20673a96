package pipeline

import (
	"fmt"
	"maps"
	"slices"
)

// DefaultTarget is the group, or the target, that a build without names means.
const DefaultTarget = "default"

// Selection is what a build was asked for.
type Selection struct {
	Targets   []string // each once, in the order asked for
	Templates []string // left out: targets that only others inherit
}

// Select gives the targets that names mean: each is a group's or a target's.
// No names mean, as in bake, the group default or else the target default;
// where neither is declared, all targets that are no templates.
func (p *Project) Select(names ...string) (Selection, error) {
	var s Selection
	if len(names) == 0 {
		if p.Groups[DefaultTarget] == nil && p.Targets[DefaultTarget] == nil {
			s.Templates = p.Templates()
			for _, name := range slices.Sorted(maps.Keys(p.Targets)) {
				if !slices.Contains(s.Templates, name) {
					s.Targets = append(s.Targets, name)
				}
			}
			return s, nil
		}
		names = []string{DefaultTarget}
	}
	for _, name := range names {
		if err := p.selectOnto(&s, name, nil); err != nil {
			return Selection{}, err
		}
	}
	return s, nil
}

// selectOnto adds what one name means; within are the groups that led to it.
func (p *Project) selectOnto(s *Selection, name string, within []string) error {
	members, isGroup := p.Groups[name]
	switch {
	case isGroup && !slices.Contains(within, name): // a group may hold the target of its own name
		for _, member := range members {
			if err := p.selectOnto(s, member, append(slices.Clone(within), name)); err != nil {
				return err
			}
		}
	case p.Targets[name] == nil && isGroup:
		return fmt.Errorf("group %q is a member of itself", name)
	case p.Targets[name] == nil:
		return fmt.Errorf("no target or group %q", name)
	case !slices.Contains(s.Targets, name):
		s.Targets = append(s.Targets, name)
	}
	return nil
}

// Templates are the targets that others inherit and that nothing else names:
// bake's files keep common arguments in such.
func (p *Project) Templates() []string {
	inherited, named := map[string]bool{}, map[string]bool{}
	for _, t := range p.Targets {
		for _, parent := range t.Inherits {
			inherited[parent] = true
		}
		for _, other := range t.Needs() {
			named[other] = true
		}
	}
	for _, members := range p.Groups {
		for _, member := range members {
			named[member] = true
		}
	}
	for _, s := range p.Services {
		named[s.Image.Target] = true
	}
	for _, t := range p.Tasks {
		named[t.Image.Target] = true
	}
	for _, env := range p.Environments {
		for _, s := range env.Services {
			named[s.Image.Target] = true
		}
		for _, t := range env.Tasks {
			named[t.Image.Target] = true
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(p.Targets)) {
		if inherited[name] && !named[name] {
			out = append(out, name)
		}
	}
	return out
}
