package config

import (
	"fmt"
	"maps"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// userFunction is one of bake's function blocks. Its result sees its parameters
// and what the rest of the file sees, other functions among it.
type userFunction struct {
	scope    *scope
	name     string
	params   []string
	variadic string // "" is none
	result   hcl.Expression
	running  bool // while it is called, so that it can't call itself
	checked  bool
	faulty   bool // the result refers to something that is not declared
}

// addUserFunctions makes function blocks callable.
func (s *scope) addUserFunctions() {
	all := maps.Clone(s.functions)
	first := map[string]hcl.Range{}
	for _, b := range s.l.blocks["function"] {
		name := b.Labels[0]
		if before, twice := first[name]; twice {
			s.l.duplicate(named(b), b.DefRange, before)
			continue
		}
		first[name] = b.DefRange
		if _, standard := s.functions[name]; standard {
			s.l.fault(b.LabelRanges[0], "Function exists", "%s is a standard function. Choose another name.", name)
			continue
		}
		if f := s.newUserFunction(name, b); f != nil {
			all[name] = f.function()
		}
	}
	s.functions = all
}

func (s *scope) newUserFunction(name string, source *hcl.Block) *userFunction {
	b := &block{l: s.l, kind: kindFunction, what: named(source), def: source.DefRange, content: s.l.content(source.Body, kindFunction, named(source))}
	b.require("params", "result")
	if !b.has("params") || !b.has("result") {
		return nil
	}
	f := &userFunction{scope: s, name: name, result: b.content.Attributes["result"].Expr}
	params, diags := hcl.ExprList(b.content.Attributes["params"].Expr)
	if diags.HasErrors() {
		s.l.fault(b.rangeOf("params"), "Wrong type for \"params\"", "params is a list of bare names: params = [a, b].")
		return nil
	}
	for _, p := range params {
		f.params = append(f.params, b.parameter(p))
	}
	if attr := b.content.Attributes["variadic_param"]; attr != nil {
		f.variadic = b.parameter(attr.Expr)
	}
	return f
}

// parameter reads a bare name.
func (b *block) parameter(expr hcl.Expression) string {
	name := hcl.ExprAsKeyword(expr)
	if name == "" {
		b.l.fault(expr.Range(), "Invalid parameter", "A parameter is a bare name, without quotes.")
	}
	return name
}

func (f *userFunction) function() function.Function {
	spec := &function.Spec{
		Type: func(args []cty.Value) (cty.Type, error) {
			v, err := f.call(args)
			return v.Type(), err
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.call(args) },
	}
	for _, p := range f.params {
		spec.Params = append(spec.Params, function.Parameter{Name: p, Type: cty.DynamicPseudoType, AllowNull: true})
	}
	if f.variadic != "" {
		spec.VarParam = &function.Parameter{Name: f.variadic, Type: cty.DynamicPseudoType, AllowNull: true}
	}
	return function.New(spec)
}

func (f *userFunction) call(args []cty.Value) (cty.Value, error) {
	if f.running {
		return cty.DynamicVal, function.NewArgErrorf(0, "%s calls itself, without end", f.name)
	}
	f.running = true
	defer func() { f.running = false }()
	vars := map[string]cty.Value{}
	for i, p := range f.params {
		vars[p] = args[i]
	}
	if f.variadic != "" {
		vars[f.variadic] = cty.TupleVal(args[len(f.params):])
	}
	result := &boundExpr{f.result, vars}
	f.scope.resolveAll(result.Variables())
	if !f.check(result) {
		return cty.DynamicVal, nil // the fault is recorded where it is
	}
	v, diags := result.Value(f.scope.contextOf(result.Variables()))
	if diags.HasErrors() {
		return cty.DynamicVal, fmt.Errorf("%s: %s", diags[0].Summary, diags[0].Detail)
	}
	return v, nil
}

// check looks once for names that the result refers to and nobody declares. The
// fault is the function's, also where a call may fail, as in try().
func (f *userFunction) check(result hcl.Expression) bool {
	if !f.checked {
		suppressed := f.scope.l.suppressed
		f.scope.l.suppressed = 0
		f.checked, f.faulty = true, !f.scope.check(result)
		f.scope.l.suppressed = suppressed
	}
	return !f.faulty
}
