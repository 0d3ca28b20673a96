package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// bind returns a body whose expressions see further names.
func bind(body hcl.Body, vars map[string]cty.Value) hcl.Body { return &boundBody{body, vars} }

type boundBody struct {
	hcl.Body
	vars map[string]cty.Value
}

func (b *boundBody) Content(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Diagnostics) {
	content, diags := b.Body.Content(schema)
	return b.bound(content), diags
}

func (b *boundBody) PartialContent(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Body, hcl.Diagnostics) {
	content, rest, diags := b.Body.PartialContent(schema)
	return b.bound(content), bind(rest, b.vars), diags
}

func (b *boundBody) JustAttributes() (hcl.Attributes, hcl.Diagnostics) {
	attrs, diags := b.Body.JustAttributes()
	return b.boundAttributes(attrs), diags
}

func (b *boundBody) bound(content *hcl.BodyContent) *hcl.BodyContent {
	if content == nil {
		return nil
	}
	out := *content
	out.Attributes = b.boundAttributes(content.Attributes)
	out.Blocks = nil
	for _, nested := range content.Blocks {
		one := *nested
		one.Body = bind(nested.Body, b.vars)
		out.Blocks = append(out.Blocks, &one)
	}
	return &out
}

func (b *boundBody) boundAttributes(attrs hcl.Attributes) hcl.Attributes {
	out := hcl.Attributes{}
	for name, attr := range attrs {
		one := *attr
		one.Expr = &boundExpr{attr.Expr, b.vars}
		out[name] = &one
	}
	return out
}

// boundExpr is an expression that sees further names.
type boundExpr struct {
	hcl.Expression
	vars map[string]cty.Value
}

func (e *boundExpr) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	ctx = ctx.NewChild()
	ctx.Variables = e.vars
	return e.Expression.Value(ctx)
}

// Variables leaves the bound names out.
func (e *boundExpr) Variables() []hcl.Traversal {
	return slices.DeleteFunc(slices.Clone(e.Expression.Variables()), func(t hcl.Traversal) bool {
		_, bound := e.vars[t.RootName()]
		return bound
	})
}

// ExprList serves hcl.ExprList: the elements see the same names.
func (e *boundExpr) ExprList() []hcl.Expression {
	list, diags := hcl.ExprList(e.Expression)
	if diags.HasErrors() {
		return nil
	}
	out := []hcl.Expression{}
	for _, one := range list {
		out = append(out, &boundExpr{one, e.vars})
	}
	return out
}

// AsTraversal serves hcl.ExprAsKeyword.
func (e *boundExpr) AsTraversal() hcl.Traversal {
	t, diags := hcl.AbsTraversalForExpr(e.Expression)
	if diags.HasErrors() {
		return nil
	}
	return t
}
