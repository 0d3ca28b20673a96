package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// reference is the value of target.NAME, host.NAME and the like: a name of
// something in the file, which no string operation can turn into another.
type reference struct{ kind, name string }

// referenceName returns the name in the value of a reference.
func referenceName(v cty.Value) string { return v.EncapsulatedValue().(*reference).name }

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
	nodes     map[string]*node     // see node.name
	variables []*variable          // in the file's order
	names     map[string][]string  // names by kind of block, sorted, with host.local; known once the kind's node is resolved
	static    map[string]cty.Value // values of the roots that depend on nothing in the files
	whole     *hcl.EvalContext     // once everything is evaluated
	stack     []string             // nodes under evaluation, for cycles
	used      map[string]bool      // arguments of the outermost level that expressions refer to
}

// node is a value that others can refer to: a variable ("var.NAME"), a local
// ("local.NAME"), an argument of the outermost level as bake has them
// ("top.NAME"), the references to a kind of block ("all.host"), or an argument
// of a target ("target.NAME.ARGUMENT").
type node struct {
	name  string
	at    hcl.Range
	eval  func() cty.Value // evaluates, given that what it refers to is evaluated
	needs []hcl.Traversal
	done  bool
	value cty.Value

	circular func() cty.Value // its value where it refers to itself; nil is unknown
}

func newScope(l *loader) *scope {
	s := &scope{l: l, nodes: map[string]*node{}, names: map[string][]string{}, used: map[string]bool{}}
	s.functions = l.functions()
	s.static = s.staticValues()
	return s
}

// evaluate gives every variable and local its value, in any order that their
// references ask for.
func (s *scope) evaluate() {
	s.addVariables()
	s.addLocals()
	s.addTopLevel()
	s.addTargetArguments()
	s.addKinds()
	s.addUserFunctions()
	for _, name := range sortedKeys(s.nodes) {
		if !strings.HasPrefix(name, "target.") { // decoded with its target, and evaluated here only when asked for
			s.resolve(s.nodes[name])
		}
	}
	s.whole = s.build(func(string) bool { return true })
	s.validateVariables()
}

// addTopLevel adds the arguments of the outermost level that are none of dray's:
// bake takes them for names.
func (s *scope) addTopLevel() {
	for _, name := range sortedKeys(s.l.topLevel) {
		attr := s.l.topLevel[name]
		s.nodes["top."+name] = &node{
			name: "top." + name, at: attr.NameRange, needs: attr.Expr.Variables(),
			eval: func() cty.Value { return s.evalOrUnknown(attr.Expr) },
		}
	}
}

// addTargetArguments adds target.NAME.ARGUMENT, as bake has it. Of blocks of one
// name the last one that sets the argument counts.
func (s *scope) addTargetArguments() {
	for _, b := range s.l.blocks["target"] {
		if b.Type != "target" || len(b.Labels) == 0 {
			continue
		}
		attrs, _ := b.Body.JustAttributes() // what is wrong is found where the target is decoded
		for name, attr := range attrs {
			key := "target." + b.Labels[0] + "." + name
			s.nodes[key] = &node{
				name: key, at: attr.NameRange, needs: attr.Expr.Variables(),
				eval: func() cty.Value { return s.evalOrUnknown(attr.Expr) },
			}
		}
	}
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
			shownName(n.name), shownName(strings.Join(append(slices.Clone(s.stack[i:]), n.name), " → ")))
		n.done, n.value = true, cty.DynamicVal
		if n.circular != nil {
			n.value = n.circular()
		}
		return
	}
	s.stack = append(s.stack, n.name)
	s.resolveAll(n.needs)
	s.stack = s.stack[:len(s.stack)-1]
	if n.done { // part of a cycle
		return
	}
	n.value = n.eval()
	n.done = true
}

// shownName returns names of nodes as the file has what they stand for.
func shownName(names string) string {
	return strings.ReplaceAll(strings.ReplaceAll(names, "all.", ""), "top.", "")
}

// resolveAll evaluates what traversals refer to.
func (s *scope) resolveAll(traversals []hcl.Traversal) {
	for _, t := range traversals {
		for _, name := range s.nodeNames(t) {
			s.resolve(s.nodes[name])
		}
	}
}

// nodeNames returns the nodes that a traversal refers to.
func (s *scope) nodeNames(t hcl.Traversal) []string {
	root := t.RootName()
	var out []string
	add := func(name string) {
		if s.nodes[name] != nil {
			out = append(out, name)
		}
	}
	switch {
	case root == "var" || root == "local":
		add(root + "." + secondName(t))
	case s.isVariable(t):
		add("var." + root)
	case slices.Contains(referable, root):
		add("all." + root)
		add(targetArgument(t))
	case !s.isRoot(root):
		add("top." + root)
	}
	return out
}

// isVariable reports whether t is bake's bare NAME of a variable. A variable may
// have the name of a root, as many a variable "environment" has: NAME alone is
// the variable then, and NAME.X is what the root has.
func (s *scope) isVariable(t hcl.Traversal) bool {
	return s.nodes["var."+t.RootName()] != nil && (len(t) == 1 || !s.isRoot(t.RootName()))
}

// targetArgument returns the node of target.NAME.ARGUMENT, or "".
func targetArgument(t hcl.Traversal) string {
	if t.RootName() != "target" || len(t) < 3 {
		return ""
	}
	argument, ok := t[2].(hcl.TraverseAttr)
	if !ok {
		return ""
	}
	return "target." + secondName(t) + "." + argument.Name
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

// eval evaluates an expression. ok is false when a fault was recorded.
func (s *scope) eval(expr hcl.Expression) (cty.Value, bool) {
	if !s.check(expr) {
		return cty.DynamicVal, false
	}
	ctx := s.contextOf(expr.Variables())
	v, diags := expr.Value(ctx)
	for _, d := range diags {
		s.l.add(s.reworded(d, expr))
	}
	return v, !diags.HasErrors()
}

// evalQuietly evaluates an expression without recording faults.
func (s *scope) evalQuietly(expr hcl.Expression) (cty.Value, bool) {
	s.l.suppressed++
	defer func() { s.l.suppressed-- }()
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
