package config

import (
	"encoding/csv"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"dray/pipeline/phrase"
)

// variableEnv is the prefix of variables of the process that set variables of
// the file.
const variableEnv = "DRAY_VAR_"

// variable is one variable block.
type variable struct {
	name      string
	def       hcl.Range
	block     *block
	typ       cty.Type // cty.DynamicPseudoType when none is given
	defaults  *typeexpr.Defaults
	fallback  hcl.Expression // nil: a value must be given
	sensitive bool
	nullable  bool
	from      string // where the value came from, for messages
	node      *node
}

// given is a value from outside the file.
type given struct {
	text  string    // --var and DRAY_VAR_*
	value cty.Value // a file of values; cty.NilVal otherwise
	from  string
}

func (s *scope) addVariables() {
	outside := s.givenValues()
	for _, b := range s.l.blocks["variable"] {
		name := b.Labels[0]
		if before := s.nodes["var."+name]; before != nil {
			s.l.duplicate(named(b), b.DefRange, before.at)
			continue
		}
		if !hclsyntax.ValidIdentifier(name) {
			s.l.fault(b.LabelRanges[0], "Invalid name", "A variable's name has letters, digits, - and _, and starts with a letter.")
			continue
		}
		v := s.newVariable(name, b)
		v.node = &node{name: "var." + name, at: b.DefRange}
		g, isGiven := outside[name]
		if value, ok := s.l.environ(name); ok && !isGiven { // bake's rule
			g, isGiven = given{text: value, from: fmt.Sprintf("the variable %s of the process", name)}, true
		}
		if isGiven {
			v.from = g.from
			v.node.eval = func() cty.Value { return s.given(v, g) }
		} else {
			if v.fallback != nil {
				v.node.needs = v.fallback.Variables()
			}
			v.node.eval = func() cty.Value { return s.fallback(v) }
		}
		s.nodes[v.node.name] = v.node
		s.variables = append(s.variables, v)
	}
	s.checkGiven(outside)
}

func (s *scope) newVariable(name string, b *hcl.Block) *variable {
	v := &variable{name: name, def: b.DefRange, typ: cty.DynamicPseudoType, nullable: true}
	// Opened before the scope is complete, so without dynamic blocks.
	v.block = &block{l: s.l, kind: kindVariable, what: named(b), def: b.DefRange, content: s.l.content(b.Body, kindVariable, named(b))}
	attrs := v.block.content.Attributes
	if attr := attrs["type"]; attr != nil {
		typ, defaults, diags := typeexpr.TypeConstraintWithDefaults(attr.Expr)
		for _, d := range diags {
			s.l.add(d)
		}
		if !diags.HasErrors() {
			v.typ, v.defaults = typ, defaults
		}
	}
	if attr := attrs["default"]; attr != nil {
		v.fallback = attr.Expr
	}
	v.sensitive = s.constantBool(attrs["sensitive"], false)
	v.nullable = s.constantBool(attrs["nullable"], true)
	return v
}

func (s *scope) constantBool(attr *hcl.Attribute, otherwise bool) bool {
	if attr == nil {
		return otherwise
	}
	v, diags := attr.Expr.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.Bool {
		s.l.fault(attr.Expr.Range(), fmt.Sprintf("Wrong type for %q", attr.Name), "%s is true or false, and refers to nothing.", attr.Name)
		return otherwise
	}
	return v.True()
}

// givenValues collects values from outside that are meant for dray: DRAY_VAR_*,
// then files, then --var, each over the one before.
func (s *scope) givenValues() map[string]given {
	out := map[string]given{}
	for _, entry := range s.l.opts.Environ {
		name, value, _ := strings.Cut(entry, "=")
		if short, ok := strings.CutPrefix(name, variableEnv); ok && short != "" {
			out[short] = given{text: value, from: name}
		}
	}
	for _, path := range s.l.opts.VarFiles {
		for name, v := range s.readValues(path) {
			out[name] = given{value: v, from: path}
		}
	}
	for name, text := range s.l.opts.Vars {
		out[name] = given{text: text, from: "--var"}
	}
	return out
}

func (s *scope) readValues(path string) map[string]cty.Value {
	src, err := readBounded(path)
	if err != nil {
		s.l.faultAt(nil, "Cannot read "+path, "%s.", phrase.Capital(phrase.Cause(err)))
		return nil
	}
	file, diags := parseFile(path, src)
	out := map[string]cty.Value{}
	s.l.files[path] = file
	attrs, more := file.Body.JustAttributes()
	diags = append(diags, more...)
	for name, attr := range attrs {
		v, more := attr.Expr.Value(nil)
		diags = append(diags, more...)
		if !more.HasErrors() {
			out[name] = v
		}
	}
	for _, d := range diags {
		s.l.add(d)
	}
	return out
}

// checkGiven records a fault for each value that was meant for dray and names
// no variable. Variables of the process may be meant for another project.
func (s *scope) checkGiven(outside map[string]given) {
	names := s.shortNames("var")
	for _, name := range sortedKeys(outside) {
		g := outside[name]
		if s.nodes["var."+name] != nil || strings.HasPrefix(g.from, variableEnv) {
			continue
		}
		s.l.faultAt(nil, fmt.Sprintf("No variable %q", name), "%s sets %s, which no variable block declares.%s", g.from, name, phrase.DidYouMean(name, names))
	}
}

// given returns the value of v that came from outside.
func (s *scope) given(v *variable, g given) cty.Value {
	raw := g.value
	if raw == cty.NilVal {
		var ok bool
		if raw, ok = s.parseGiven(v, g); !ok {
			return cty.DynamicVal
		}
	}
	return s.converted(v, raw, v.def)
}

// parseGiven reads text: as it is for a string, a number or a bool, and as an
// expression for lists and objects.
func (s *scope) parseGiven(v *variable, g given) (cty.Value, bool) {
	if v.typ.IsPrimitiveType() {
		return cty.StringVal(g.text), true
	}
	if v.typ == cty.DynamicPseudoType {
		return s.likeFallback(v, g)
	}
	if list, ok := commaList(v.typ, g.text); ok {
		return list, true
	}
	if err := checkDepth(expressionDepth, g.text); err != nil {
		s.l.fault(v.def, fmt.Sprintf("Invalid value for variable %q", v.name), "%s: %s.", g.from, err)
		return cty.NilVal, false
	}
	expr, diags := hclsyntax.ParseExpression([]byte(g.text), g.from, hcl.InitialPos)
	var value cty.Value
	if !diags.HasErrors() {
		value, diags = expr.Value(nil)
	}
	if diags.HasErrors() {
		s.l.fault(v.def, fmt.Sprintf("Invalid value for variable %q", v.name), "%s does not hold %s: %s. A list is written a,b or [\"a\", \"b\"], an object { NAME = \"value\" }.",
			g.from, typeexpr.TypeString(v.typ), diags[0].Summary)
		return cty.NilVal, false
	}
	return value, true
}

// commaList reads "a,b" for a list or set of plain values, as bake does.
func commaList(typ cty.Type, text string) (cty.Value, bool) {
	if !typ.IsListType() && !typ.IsSetType() || !typ.ElementType().IsPrimitiveType() || strings.HasPrefix(strings.TrimSpace(text), "[") {
		return cty.NilVal, false
	}
	if strings.TrimSpace(text) == "" {
		return cty.EmptyTupleVal, true
	}
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return cty.NilVal, false
	}
	var out []cty.Value
	for _, f := range fields {
		out = append(out, cty.StringVal(strings.TrimSpace(f)))
	}
	return cty.TupleVal(out), true
}

// likeFallback gives text the type of the default when that is a plain one, as
// bake does.
func (s *scope) likeFallback(v *variable, g given) (cty.Value, bool) {
	out := cty.StringVal(g.text)
	if v.fallback == nil {
		return out, true
	}
	like, diags := v.fallback.Value(&hcl.EvalContext{Functions: s.functions})
	if diags.HasErrors() || like.IsNull() || !like.Type().IsPrimitiveType() {
		return out, true
	}
	converted, err := convert.Convert(out, like.Type())
	if err != nil {
		s.l.fault(v.def, fmt.Sprintf("Invalid value for variable %q", v.name), "It must be %s, as the default is: %s (from %s).", typeName(like.Type()), err, g.from)
		return cty.NilVal, false
	}
	return converted, true
}

// fallback returns the value of v when nothing outside gives one: its default,
// or as in bake the empty string, and null where it has a type. One that may not
// be null must be given.
func (s *scope) fallback(v *variable) cty.Value {
	v.from = "the default"
	switch {
	case v.fallback != nil:
		value, ok := s.eval(v.fallback)
		if !ok {
			return cty.DynamicVal
		}
		return s.converted(v, value, v.fallback.Range())
	case !v.nullable:
		s.l.fault(v.def, fmt.Sprintf("No value for variable %q", v.name),
			"Give one with --var %s=…, with %s%[1]s in the environment, or write a default.", v.name, variableEnv)
		return cty.DynamicVal
	case v.block.has("type"):
		return s.converted(v, cty.NullVal(v.typ), v.def)
	}
	return s.converted(v, cty.StringVal(""), v.def)
}

// converted converts a value to the variable's type and marks it if it is
// sensitive.
func (s *scope) converted(v *variable, value cty.Value, at hcl.Range) cty.Value {
	if v.defaults != nil && !value.IsNull() {
		value = v.defaults.Apply(value)
	}
	value, err := convert.Convert(value, v.typ)
	if err != nil {
		s.l.fault(at, fmt.Sprintf("Invalid value for variable %q", v.name), "It must be %s: %s (from %s).", typeexpr.TypeString(v.typ), err, v.from)
		return cty.DynamicVal
	}
	if value.IsNull() && !v.nullable {
		s.l.fault(at, fmt.Sprintf("Invalid value for variable %q", v.name), "It may not be null (from %s).", v.from)
		return cty.DynamicVal
	}
	if v.sensitive {
		value = value.Mark(sensitiveMark{})
	}
	return value
}

// validateVariables evaluates the validation blocks.
func (s *scope) validateVariables() {
	for _, v := range s.variables {
		for _, b := range v.block.content.Blocks.OfType("validation") {
			s.validate(v, s.l.open(b, kindValidation, "a validation of "+v.block.what))
		}
	}
}

func (s *scope) validate(v *variable, b *block) {
	b.require("condition", "error_message")
	attr := b.content.Attributes["condition"]
	if attr == nil || !v.node.value.IsWhollyKnown() {
		return
	}
	result, ok := s.eval(attr.Expr)
	if !ok {
		return
	}
	result, _ = result.UnmarkDeep()
	passed, ok := s.l.converted(result, attr.Expr, "condition", cty.Bool)
	if !ok || passed.True() {
		return
	}
	message := "The condition does not hold"
	b.text("error_message", &message)
	value := ""
	if !v.sensitive {
		value = fmt.Sprintf(" It is %s, from %s.", showValue(v.node.value), v.from)
	}
	s.l.fault(v.def, fmt.Sprintf("Invalid value for variable %q", v.name), "%s.%s", strings.TrimSuffix(message, "."), value)
}
