package config

import (
	"bytes"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"dray/pipeline"
)

// reference is the value of target.NAME, host.NAME and the like: a name of
// something in the file, which no string operation can turn into another.
type reference struct{ kind, name string }

// referable are the kinds of block that can be referred to, as ROOT.NAME.
var referable = []string{"target", "service", "task", "host", "environment"}

var referenceTypes = func() map[string]cty.Type {
	out := map[string]cty.Type{}
	for _, kind := range referable {
		out[kind] = cty.Capsule(kind, reflect.TypeFor[reference]())
	}
	return out
}()

// sensitiveMark is on every value that a sensitive variable went into.
type sensitiveMark struct{}

// scope is what expressions can refer to.
type scope struct {
	l         *loader
	functions map[string]function.Function
	nodes     map[string]*node     // by "var.NAME" and "local.NAME"
	variables []*variable          // in the file's order
	names     map[string][]string  // names by kind of block, sorted, with host.local
	static    map[string]cty.Value // values of the roots that depend on no variable
	whole     *hcl.EvalContext     // once everything is evaluated
	stack     []string             // nodes under evaluation, for cycles
}

// node is a variable or a local.
type node struct {
	name  string // "local.repo"
	at    hcl.Range
	eval  func() cty.Value // evaluates, given that what it refers to is evaluated
	needs []hcl.Traversal
	done  bool
	value cty.Value
}

func newScope(l *loader) *scope {
	s := &scope{
		l:     l,
		nodes: map[string]*node{},
		names: map[string][]string{},
	}
	s.functions = l.functions()
	for _, kind := range referable {
		for _, b := range l.blocks[kind] {
			if len(b.Labels) > 0 {
				s.names[kind] = append(s.names[kind], b.Labels[0])
			}
		}
	}
	s.names["host"] = append(s.names["host"], pipeline.LocalHost)
	for kind, names := range s.names {
		slices.Sort(names)
		s.names[kind] = slices.Compact(names)
	}
	s.static = s.staticValues()
	return s
}

// evaluate gives every variable and local its value, in any order that their
// references ask for.
func (s *scope) evaluate() {
	s.addUserFunctions()
	s.addVariables()
	s.addLocals()
	for _, name := range sortedKeys(s.nodes) {
		s.resolve(s.nodes[name])
	}
	s.whole = s.build(func(string) bool { return true })
	s.validateVariables()
}

func (s *scope) addLocals() {
	for _, b := range s.l.blocks["locals"] {
		attrs, diags := b.Body.JustAttributes()
		for _, d := range diags {
			s.l.add(d)
		}
		for _, name := range sortedKeys(attrs) {
			attr := attrs[name]
			if before := s.nodes["local."+name]; before != nil {
				s.l.duplicate("local."+name, attr.NameRange, before.at)
				continue
			}
			s.nodes["local."+name] = &node{
				name: "local." + name, at: attr.NameRange, needs: attr.Expr.Variables(),
				eval: func() cty.Value { return s.evalOrUnknown(attr.Expr) },
			}
		}
	}
}

// resolve evaluates n after what it needs. A cycle is reported once, and its
// members are unknown from then on.
func (s *scope) resolve(n *node) {
	if n.done {
		return
	}
	if i := slices.Index(s.stack, n.name); i >= 0 {
		s.l.fault(n.at, "Reference cycle", "%s refers to itself: %s. Break the circle at one of them.",
			n.name, strings.Join(append(slices.Clone(s.stack[i:]), n.name), " → "))
		n.done, n.value = true, cty.DynamicVal
		return
	}
	s.stack = append(s.stack, n.name)
	for _, t := range n.needs {
		if dep := s.nodes[s.nodeName(t)]; dep != nil {
			s.resolve(dep)
		}
	}
	s.stack = s.stack[:len(s.stack)-1]
	if n.done { // part of a cycle
		return
	}
	n.value = n.eval()
	n.done = true
}

// nodeName returns "var.NAME" or "local.NAME" for a traversal of one, also
// for bake's bare NAME of a variable, and "" for others.
func (s *scope) nodeName(t hcl.Traversal) string {
	root := t.RootName()
	if root == "var" || root == "local" {
		return root + "." + secondName(t)
	}
	if _, ok := s.nodes["var."+root]; ok && !s.isRoot(root) {
		return "var." + root
	}
	return ""
}

// secondName returns NAME of ROOT.NAME or ROOT["NAME"], or "".
func secondName(t hcl.Traversal) string {
	if len(t) < 2 {
		return ""
	}
	switch step := t[1].(type) {
	case hcl.TraverseAttr:
		return step.Name
	case hcl.TraverseIndex:
		if step.Key.Type() == cty.String && step.Key.IsKnown() && !step.Key.IsNull() {
			return step.Key.AsString()
		}
	}
	return ""
}

// context is what expressions outside variables and locals see.
func (s *scope) context() *hcl.EvalContext { return s.whole }

// build makes a context with the nodes that are done and wanted.
func (s *scope) build(want func(name string) bool) *hcl.EvalContext {
	values := map[string]cty.Value{}
	for name, v := range s.static {
		values[name] = v
	}
	vars, locals := map[string]cty.Value{}, map[string]cty.Value{}
	for name, n := range s.nodes {
		if !n.done || !want(name) {
			continue
		}
		if short, ok := strings.CutPrefix(name, "var."); ok {
			vars[short] = n.value
			if !s.isRoot(short) {
				values[short] = n.value // as bake writes it
			}
		} else {
			locals[strings.TrimPrefix(name, "local.")] = n.value
		}
	}
	values["var"], values["local"] = cty.ObjectVal(vars), cty.ObjectVal(locals)
	return &hcl.EvalContext{Variables: values, Functions: s.functions}
}

func (s *scope) isRoot(name string) bool {
	if name == "var" || name == "local" {
		return true
	}
	_, ok := s.static[name]
	return ok
}

// staticValues are the roots that no variable has a part in.
func (s *scope) staticValues() map[string]cty.Value {
	out := map[string]cty.Value{
		"path": cty.ObjectVal(map[string]cty.Value{"root": cty.StringVal(s.l.dir)}),
		"git":  cty.EmptyObjectVal,
	}
	for _, kind := range referable {
		refs := map[string]cty.Value{}
		for _, name := range s.names[kind] {
			refs[name] = cty.CapsuleVal(referenceTypes[kind], &reference{kind, name})
		}
		out[kind] = cty.ObjectVal(refs)
	}
	for _, file := range s.l.files {
		if bytes.Contains(file.Bytes, []byte("git")) {
			out["git"] = s.l.gitValue()
			break
		}
	}
	return out
}

// eval evaluates an expression. ok is false when a fault was recorded.
func (s *scope) eval(expr hcl.Expression) (cty.Value, bool) {
	if !s.check(expr) {
		return cty.DynamicVal, false
	}
	ctx := s.whole
	if ctx == nil {
		needs := map[string]bool{}
		for _, t := range expr.Variables() {
			needs[s.nodeName(t)] = true
		}
		ctx = s.build(func(name string) bool { return needs[name] })
	}
	v, diags := expr.Value(ctx)
	for _, d := range diags {
		s.l.add(s.reworded(d, expr))
	}
	return v, !diags.HasErrors()
}

// peek evaluates an expression without recording faults.
func (s *scope) peek(expr hcl.Expression) (cty.Value, bool) {
	s.l.muted++
	defer func() { s.l.muted-- }()
	return s.eval(expr)
}

func (s *scope) evalOrUnknown(expr hcl.Expression) cty.Value {
	if v, ok := s.eval(expr); ok {
		return v
	}
	return cty.DynamicVal
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
