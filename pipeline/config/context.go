package config

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// context is what expressions outside variables and locals see.
func (s *scope) context() *hcl.EvalContext { return s.whole }

// contextOf is what one expression sees. It differs from the others' where it
// refers to a variable that is named as a root, or to a target's argument.
func (s *scope) contextOf(traversals []hcl.Traversal) *hcl.EvalContext {
	needs := map[string]bool{}
	for _, t := range traversals {
		for _, name := range s.nodeNames(t) {
			if strings.HasPrefix(name, "target.") {
				s.resolve(s.nodes[name])
			}
			needs[name] = true
		}
	}
	ctx := s.whole
	if ctx == nil {
		ctx = s.build(func(name string) bool { return needs[name] })
	}
	own := map[string]cty.Value{}
	targets := map[string]map[string]cty.Value{}
	for _, t := range traversals {
		if root := t.RootName(); s.isVariable(t) && s.isRoot(root) {
			own[root] = s.nodes["var."+root].value
		}
		if n := s.nodes[targetArgument(t)]; n != nil {
			if targets[secondName(t)] == nil {
				targets[secondName(t)] = map[string]cty.Value{}
			}
			targets[secondName(t)][t[2].(hcl.TraverseAttr).Name] = n.value
		}
	}
	if len(targets) > 0 {
		all := s.nodes["all.target"].value.AsValueMap()
		for name, arguments := range targets {
			all[name] = cty.ObjectVal(arguments)
		}
		own["target"] = cty.ObjectVal(all)
	}
	if len(own) == 0 {
		return ctx
	}
	ctx = ctx.NewChild()
	ctx.Variables = own
	return ctx
}

// build makes a context with the nodes that are done and wanted.
func (s *scope) build(want func(name string) bool) *hcl.EvalContext {
	values := maps.Clone(s.static)
	vars, locals := map[string]cty.Value{}, map[string]cty.Value{}
	for name, n := range s.nodes {
		if !n.done || !want(name) {
			continue
		}
		kind, short, _ := strings.Cut(name, ".")
		switch kind {
		case "var":
			vars[short] = n.value
			if !s.isRoot(short) {
				values[short] = n.value // as bake writes it
			}
		case "local":
			locals[short] = n.value
		case "top":
			if s.nodes["var."+short] == nil {
				values[short] = n.value
			}
		case "all":
			values[short] = n.value
		}
	}
	values["var"], values["local"] = cty.ObjectVal(vars), cty.ObjectVal(locals)
	return &hcl.EvalContext{Variables: values, Functions: s.functions}
}

func (s *scope) isRoot(name string) bool {
	_, ok := s.static[name]
	return ok || name == "var" || name == "local" || slices.Contains(referable, name)
}

// roots are the names that expressions can begin with, sorted.
func (s *scope) roots() []string {
	out := append(sortedKeys(s.static), "var", "local")
	out = slices.DeleteFunc(append(out, referable...), func(name string) bool { return strings.HasPrefix(name, "BAKE_") })
	slices.Sort(out)
	return out
}

// staticValues are the roots that nothing in the files has a part in.
func (s *scope) staticValues() map[string]cty.Value {
	out := map[string]cty.Value{
		"path":                cty.ObjectVal(map[string]cty.Value{"root": cty.StringVal(s.l.dir)}),
		"git":                 cty.EmptyObjectVal,
		"BAKE_CMD_CONTEXT":    cty.StringVal(bakeContext),
		"BAKE_LOCAL_PLATFORM": cty.StringVal(localPlatform),
	}
	for _, file := range s.l.files {
		if bytes.Contains(file.Bytes, []byte("git")) {
			out["git"] = s.l.gitValue()
			break
		}
	}
	return out
}
