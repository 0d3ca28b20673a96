package config

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// matrixOf returns the matrix of a target that has one: bake's way to make
// several of one block.
func matrixOf(kind string, b *hcl.Block) hcl.Expression {
	if kind != "target" {
		return nil
	}
	content, _, _ := b.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "matrix"}}})
	if attr := content.Attributes["matrix"]; attr != nil {
		return attr.Expr
	}
	return nil
}

// matrixBlocks returns a target for each combination of a matrix's values, under
// the name that its name makes of them, and references to them by name. The
// block's own name becomes a group of them.
func (s *scope) matrixBlocks(source *hcl.Block, matrix hcl.Expression) (blocks []*hcl.Block, byName map[string]cty.Value, ok bool) {
	byName = map[string]cty.Value{}
	combinations, ok := s.combinations(matrix)
	if !ok {
		return nil, byName, false
	}
	content, rest, _ := source.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "matrix"}, {Name: "name"}}})
	attr := content.Attributes["name"]
	own := source.Labels[0]
	var names []string
	if attr == nil && len(combinations) > 1 {
		s.l.fault(source.DefRange, "Matrix without names", "Each combination of a matrix is a target of its own: write name = \"…\" with the matrix's names in it.")
		return nil, byName, false
	}
	for _, vars := range combinations {
		name, ranges := own, source.LabelRanges
		if attr != nil {
			v, ok := s.l.convert(&boundExpr{attr.Expr, vars}, "name", cty.String)
			if !ok {
				return nil, byName, false
			}
			name, ranges = v.AsString(), []hcl.Range{attr.Expr.Range()}
		}
		if byName[name] != cty.NilVal {
			s.l.fault(attr.Expr.Range(), "Duplicate target", "Two combinations of the matrix are called %q. Every name of the matrix belongs into name.", name)
			return nil, byName, false
		}
		one := *source
		one.Labels, one.LabelRanges = []string{name}, ranges
		one.Body = bind(rest, vars)
		blocks = append(blocks, &one)
		byName[name] = newReference("target", name)
		names = append(names, name)
	}
	s.l.matrices[own] = names
	return blocks, byName, true
}

// combinations returns what a matrix's names are in each of its combinations, the
// last name's values changing fastest.
func (s *scope) combinations(matrix hcl.Expression) ([]map[string]cty.Value, bool) {
	v, ok := s.eval(matrix)
	if !ok || !v.IsKnown() {
		return nil, false
	}
	if v.IsMarked() || v.IsNull() || !v.Type().IsObjectType() && !v.Type().IsMapType() {
		s.l.fault(matrix.Range(), "Invalid matrix", "A matrix is an object of lists: matrix = { NAME = [\"a\", \"b\"] }.")
		return nil, false
	}
	out := []map[string]cty.Value{{}}
	for it := v.ElementIterator(); it.Next(); {
		key, values := it.Element()
		if values.IsMarked() || values.IsNull() || !values.IsKnown() || !values.CanIterateElements() {
			s.l.fault(matrix.Range(), "Invalid matrix", "%q of a matrix must be a list.", key.AsString())
			return nil, false
		}
		var longer []map[string]cty.Value
		for _, vars := range out {
			for inner := values.ElementIterator(); inner.Next(); {
				_, value := inner.Element()
				more := maps.Clone(vars)
				more[key.AsString()] = value
				longer = append(longer, more)
			}
		}
		if out = longer; len(out) > maxCombinations {
			s.l.fault(matrix.Range(), "Matrix too large", "It has more than %d combinations.", maxCombinations)
			return nil, false
		}
	}
	return slices.Clip(out), true
}

// maxCombinations bounds a matrix, whose size is a product.
const maxCombinations = 1000
