package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"dray/pipeline"
)

// Blocks with for_each, and dynamic blocks of the outermost level, stand for
// several. The instance KEY of host "web" is the host "web-KEY", and
// host.web["KEY"] in expressions.

// kindDynamic is a dynamic block of the outermost level; those inside others are
// HCL's own.
var kindDynamic = kind{name: "a dynamic block", args: []string{"for_each", "iterator", "labels"}, blocks: []string{"content"}}

// repeatable are the kinds of block that take for_each.
var repeatable = []string{"service", "task", "host", "environment"}

// repeated is a block of which there are several.
type repeated struct {
	source  *hcl.Block
	rest    hcl.Body // without for_each
	forEach hcl.Expression
}

// addKinds adds a node for each kind of block that can be referred to. What
// repeats blocks may refer to variables and locals, and those to blocks.
func (s *scope) addKinds() {
	for _, kind := range referable {
		n := &node{
			name: "all." + kind, eval: func() cty.Value { return s.expandKind(kind) },
			circular: func() cty.Value { return s.leaveOut(kind) },
		}
		for _, b := range s.l.blocks[kind] {
			for _, expr := range repeatingExpressions(b) {
				if needs := expr.Variables(); len(needs) > 0 {
					n.at, n.needs = b.DefRange, append(n.needs, needs...)
				}
			}
		}
		s.nodes[n.name] = n
	}
}

// repeatingExpressions are those that decide how many blocks b stands for, and
// how they are called.
func repeatingExpressions(b *hcl.Block) []hcl.Expression {
	names := []string{"for_each", "matrix"}
	if b.Type == "dynamic" {
		names = append(names, "labels")
	}
	var out []hcl.Expression
	for _, name := range names {
		content, _, _ := b.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: name}}})
		if attr := content.Attributes[name]; attr != nil {
			out = append(out, attr.Expr)
		}
	}
	return out
}

// expandKind puts what the blocks of a kind stand for in their place, and returns
// the references to them: an object of one for each name. A block with for_each
// is an object of its instances by their keys; one whose for_each has a fault is
// unknown.
func (s *scope) expandKind(kind string) cty.Value {
	refs := map[string]cty.Value{}
	var blocks []*hcl.Block
	for _, b := range s.expandDynamic(kind) {
		if len(b.Labels) == 0 {
			continue
		}
		name := b.Labels[0]
		if matrix := matrixOf(kind, b); matrix != nil {
			made, byName, ok := s.matrixBlocks(b, matrix)
			blocks = append(blocks, made...)
			refs[name] = cty.ObjectVal(byName)
			if !ok {
				refs[name] = cty.DynamicVal
			}
			for name, ref := range byName {
				refs[name] = ref
			}
			continue
		}
		r := repeatedBlock(kind, b)
		if r == nil {
			blocks = append(blocks, b)
			refs[name] = newReference(kind, name)
			continue
		}
		instances, byKey, ok := s.instances(kind, r)
		blocks = append(blocks, instances...)
		refs[name] = cty.ObjectVal(byKey)
		if !ok {
			refs[name] = cty.DynamicVal
		}
	}
	s.l.blocks[kind] = blocks
	if kind == "host" {
		refs[pipeline.LocalHost] = newReference(kind, pipeline.LocalHost)
	}
	s.names[kind] = sortedKeys(refs)
	return cty.ObjectVal(refs)
}

// leaveOut is expandKind where what repeats blocks refers to those blocks: they
// are left out, and unknown.
func (s *scope) leaveOut(kind string) cty.Value {
	refs := map[string]cty.Value{}
	var blocks []*hcl.Block
	for _, b := range s.l.blocks[kind] {
		if b.Type == "dynamic" || len(b.Labels) == 0 {
			continue
		}
		refs[b.Labels[0]] = cty.DynamicVal
		if len(repeatingExpressions(b)) == 0 {
			blocks = append(blocks, b)
			refs[b.Labels[0]] = newReference(kind, b.Labels[0])
		}
	}
	s.l.blocks[kind] = blocks
	s.names[kind] = sortedKeys(refs)
	return cty.ObjectVal(refs)
}

func newReference(kind, name string) cty.Value {
	return cty.CapsuleVal(referenceTypes[kind], &reference{kind, name})
}

// repeatedBlock returns b as one with for_each, or nil when it has none.
func repeatedBlock(kind string, b *hcl.Block) *repeated {
	if !slices.Contains(repeatable, kind) {
		return nil
	}
	content, rest, _ := b.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "for_each"}}})
	attr := content.Attributes["for_each"]
	if attr == nil {
		return nil
	}
	return &repeated{source: b, rest: rest, forEach: attr.Expr}
}

// instances returns the blocks that one with for_each stands for, and references
// to them by key.
func (s *scope) instances(kind string, r *repeated) (blocks []*hcl.Block, byKey map[string]cty.Value, ok bool) {
	byKey = map[string]cty.Value{}
	elements, ok := s.forEach(r.forEach)
	if !ok {
		return nil, nil, false
	}
	name := r.source.Labels[0]
	for _, e := range elements {
		full := name + "-" + e.key
		if !namePattern.MatchString(full) {
			s.l.fault(r.forEach.Range(), "Invalid key in for_each", "The instance %q of %s %q would be %q: a name has up to 40 small letters, digits and -.", e.key, kind, name, full)
			ok = false
			continue
		}
		one := *r.source
		one.Labels = []string{full}
		one.Body = bind(r.rest, map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal(e.key), "value": e.value})})
		blocks = append(blocks, &one)
		byKey[e.key] = newReference(kind, full)
		s.l.repeats[kind+"."+name] = append(s.l.repeats[kind+"."+name], full)
	}
	return blocks, byKey, ok
}

// element is one of what for_each goes over.
type element struct {
	key   string
	value cty.Value
}

// forEach evaluates for_each: a map or an object, or a set of strings.
func (s *scope) forEach(expr hcl.Expression) ([]element, bool) {
	v, ok := s.eval(expr)
	if !ok || !v.IsKnown() {
		return nil, false
	}
	fault := func(detail string, args ...any) ([]element, bool) {
		s.l.fault(expr.Range(), "Invalid for_each", detail, args...)
		return nil, false
	}
	t := v.Type()
	switch {
	case v.IsMarked():
		return fault("A sensitive value can't decide which blocks there are: their names would tell it.")
	case v.IsNull():
		return fault("for_each is null. {} makes no block.")
	case t.IsMapType() || t.IsObjectType():
	case t.IsSetType() && (t.ElementType() == cty.String || v.LengthInt() == 0):
	case t.IsTupleType() || t.IsListType():
		return fault("for_each goes over a map or a set of strings, not over a list, where a new element would rename those behind it. Write toset([…]).")
	default:
		return fault("for_each goes over a map or a set of strings, and this is %s.", valueName(v))
	}
	var out []element
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if key.IsMarked() || key.IsNull() || !key.IsKnown() {
			return fault("A key of for_each is sensitive or null.")
		}
		out = append(out, element{key.AsString(), value})
	}
	return out, true
}

// expandDynamic returns the blocks of a kind, with those in place of dynamic
// ones that they make.
func (s *scope) expandDynamic(kind string) []*hcl.Block {
	var out []*hcl.Block
	for _, b := range s.l.blocks[kind] {
		if b.Type != "dynamic" {
			out = append(out, b)
			continue
		}
		out = append(out, s.dynamicBlocks(kind, b)...)
	}
	return out
}

func (s *scope) dynamicBlocks(kind string, source *hcl.Block) []*hcl.Block {
	b := &block{l: s.l, kind: kindDynamic, what: named(source), def: source.DefRange, content: s.l.content(source.Body, kindDynamic, named(source))}
	b.require("for_each", "labels")
	contents := b.content.Blocks.OfType("content")
	if len(contents) != 1 {
		s.l.fault(source.DefRange, "Missing block \"content\"", "A dynamic block has one content { … }: what each %s says.", kind)
	}
	if !b.has("for_each") || !b.has("labels") || len(contents) != 1 {
		return nil
	}
	iterator := kind
	if attr := b.content.Attributes["iterator"]; attr != nil {
		if iterator = hcl.ExprAsKeyword(attr.Expr); iterator == "" {
			s.l.fault(attr.Expr.Range(), "Invalid iterator", "iterator is a bare name, such as iterator = it.")
			return nil
		}
	}
	elements, _ := s.dynamicElements(b.content.Attributes["for_each"].Expr)
	labels := b.content.Attributes["labels"].Expr
	var out []*hcl.Block
	for _, e := range elements {
		vars := map[string]cty.Value{iterator: cty.ObjectVal(map[string]cty.Value{"key": e.keyValue, "value": e.value})}
		v, ok := s.l.convert(&boundExpr{labels, vars}, "labels", cty.List(cty.String))
		if !ok {
			return nil
		}
		if v.LengthInt() != 1 {
			s.l.fault(labels.Range(), "Invalid labels", "labels is a list of one string, the name: labels = [%s.key].", iterator)
			return nil
		}
		one := *contents[0]
		one.Type, one.Labels, one.LabelRanges = kind, []string{v.AsValueSlice()[0].AsString()}, []hcl.Range{labels.Range()}
		one.TypeRange, one.DefRange = source.TypeRange, source.DefRange
		one.Body = bind(contents[0].Body, vars)
		out = append(out, &one)
	}
	return out
}

// dynamicElement is one of what a dynamic block goes over; the key of a list's is
// its position.
type dynamicElement struct{ keyValue, value cty.Value }

func (s *scope) dynamicElements(expr hcl.Expression) ([]dynamicElement, bool) {
	v, ok := s.eval(expr)
	if !ok || !v.IsKnown() {
		return nil, false
	}
	if v.IsMarked() || v.IsNull() || !v.CanIterateElements() {
		s.l.fault(expr.Range(), "Invalid for_each", "for_each of a dynamic block goes over a list, a set or a map that is neither null nor sensitive.")
		return nil, false
	}
	var out []dynamicElement
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		out = append(out, dynamicElement{key, value})
	}
	return out, true
}
