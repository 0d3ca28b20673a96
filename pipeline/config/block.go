package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// block is a block's content, opened against its kind.
type block struct {
	l       *loader
	kind    kind
	what    string // `service "web"`, for messages
	def     hcl.Range
	content *hcl.BodyContent
}

// named returns how messages call a block: its type and label.
func named(b *hcl.Block) string {
	if len(b.Labels) == 0 {
		return b.Type
	}
	return b.Type + " " + strconv.Quote(b.Labels[0])
}

// open reads a block against its kind, with its dynamic blocks expanded.
func (l *loader) open(b *hcl.Block, k kind, what string) *block {
	body := b.Body
	if l.scope != nil {
		body = dynblock.Expand(body, l.scope.context())
	}
	content := l.content(body, k, what)
	for _, name := range k.notYet {
		if attr := content.Attributes[name]; attr != nil {
			summary, detail := notHonoured(k, name)
			l.fault(attr.NameRange, summary, "%s", detail)
			delete(content.Attributes, name)
		}
	}
	return &block{l: l, kind: k, what: what, def: b.DefRange, content: content}
}

// content reads a body and words HCL's findings as dray does.
func (l *loader) content(body hcl.Body, k kind, what string) *hcl.BodyContent {
	content, diags := body.Content(k.schema())
	for _, d := range diags {
		l.add(l.reworded(d, k, what))
	}
	return content
}

func (l *loader) reworded(d *hcl.Diagnostic, k kind, what string) *hcl.Diagnostic {
	if d.Subject == nil {
		return d
	}
	out := *d
	switch {
	case unknownArgument(d):
		out.Summary, out.Detail = k.unknown(l.text(*d.Subject), false)
	case d.Summary == "Unsupported block type":
		out.Summary, out.Detail = k.unknown(l.text(*d.Subject), true)
	case d.Summary == "Missing block label": // JSON
		out.Summary = "Missing name"
		out.Detail = "A block has a name here."
		if m := jsonBlockType.FindStringSubmatch(d.Detail); m != nil {
			out.Detail = fmt.Sprintf("A %s block in %s has a name: \"%[1]s\": { \"NAME\": { … } }.", m[1], what)
		}
	case strings.HasPrefix(d.Summary, "Missing name for "):
		typ := strings.TrimPrefix(d.Summary, "Missing name for ")
		out.Summary = "Missing name"
		out.Detail = fmt.Sprintf("A %s block in %s has a name: %s \"NAME\" { … }.", typ, what, typ)
	case strings.HasPrefix(d.Summary, "Extraneous label for "):
		out.Summary = "Label not expected"
		out.Detail = fmt.Sprintf("What stands between %s and { is at most its name.", strings.TrimPrefix(d.Summary, "Extraneous label for "))
	}
	return &out
}

// unknownArgument reports whether a finding is about an argument that the schema
// does not have.
func unknownArgument(d *hcl.Diagnostic) bool {
	return d.Summary == "Unsupported argument" || d.Summary == "Extraneous JSON object property"
}

// jsonBlockType finds the type of a block in a finding of HCL about JSON.
var jsonBlockType = regexp.MustCompile(`represents the (\S+) block's`)

// text returns the source at rng, without the quotes of JSON.
func (l *loader) text(rng hcl.Range) string {
	file := l.files[rng.Filename]
	if file == nil || !rng.CanSliceBytes(file.Bytes) {
		return ""
	}
	return string(bytes.Trim(rng.SliceBytes(file.Bytes), `"`))
}

// fault records an error at rng.
func (l *loader) fault(rng hcl.Range, summary, detail string, args ...any) {
	l.faultAt(&rng, summary, detail, args...)
}

// faultAt records an error; at is nil when it is about no file.
func (l *loader) faultAt(at *hcl.Range, summary, detail string, args ...any) {
	l.add(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: at})
}

// warn records a warning at rng.
func (l *loader) warn(rng hcl.Range, summary, detail string, args ...any) {
	l.add(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: &rng})
}

func (l *loader) add(d *hcl.Diagnostic) {
	if l.suppressed == 0 {
		l.diags = append(l.diags, d)
	}
}

// has reports whether the block sets name.
func (b *block) has(name string) bool { return b.content.Attributes[name] != nil }

// rangeOf returns where the value of name stands, or the block's head.
func (b *block) rangeOf(name string) hcl.Range {
	if attr := b.content.Attributes[name]; attr != nil {
		return attr.Expr.Range()
	}
	return b.def
}

// position notes where the block sets name, if it does.
func (b *block) position(name string, dst *pipeline.Pos) {
	if b.has(name) {
		*dst = b.l.posOf(b.rangeOf(name))
	}
}

// require records a fault for each argument that the block lacks.
func (b *block) require(names ...string) {
	for _, name := range names {
		if !b.has(name) {
			b.l.fault(b.def, fmt.Sprintf("Missing argument %q", name), "%s needs %s = ….", phrase.Capital(b.kind.name), name)
		}
	}
}

// value evaluates an argument as type want. ok is false when the block does
// not set it, sets null, or a fault was recorded.
func (b *block) value(name string, want cty.Type) (v cty.Value, ok bool) {
	attr := b.content.Attributes[name]
	if attr == nil {
		return cty.NilVal, false
	}
	return b.l.convert(attr.Expr, name, want)
}

// convert evaluates an expression as type want; see block.value.
func (l *loader) convert(expr hcl.Expression, name string, want cty.Type) (cty.Value, bool) {
	v, ok := l.scope.eval(expr)
	if !ok {
		return cty.NilVal, false
	}
	if v.ContainsMarked() {
		l.fault(expr.Range(), "Sensitive value in the open",
			"%s would end in releases, plans and history, where anyone with access can read it. Give it to a service as a secret block instead.", name)
		return cty.NilVal, false
	}
	return l.converted(v, expr, name, want)
}

func (l *loader) converted(v cty.Value, expr hcl.Expression, name string, want cty.Type) (cty.Value, bool) {
	if v.IsNull() || !v.IsWhollyKnown() {
		return cty.NilVal, false
	}
	out, err := convert.Convert(v, want)
	if err != nil {
		what, want, v := blame(name, v, want)
		l.fault(expr.Range(), fmt.Sprintf("Wrong type for %q", name), "%s must be %s, but this is %s.", what, typeName(want), valueName(v))
		return cty.NilVal, false
	}
	return out, true
}

// blame returns the element that is at fault where only one is, with what it
// had to be.
func blame(name string, v cty.Value, want cty.Type) (string, cty.Type, cty.Value) {
	isMap := v.Type().IsObjectType() || v.Type().IsMapType()
	if !v.CanIterateElements() || !want.IsCollectionType() || isMap != want.IsMapType() {
		return name, want, v
	}
	for it := v.ElementIterator(); it.Next(); {
		key, e := it.Element()
		if _, err := convert.Convert(e, want.ElementType()); err == nil {
			continue
		}
		if isMap {
			name = fmt.Sprintf("%q of %s", key.AsString(), name)
		} else {
			name = "an element of " + name
		}
		return name, want.ElementType(), e
	}
	return name, want, v
}

// typeName returns a type as a person writes it.
func typeName(t cty.Type) string {
	switch {
	case t == cty.String:
		return "a string"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.Equals(cty.List(cty.String)):
		return `a list of strings, such as ["a", "b"]`
	case t.Equals(cty.Map(cty.String)):
		return `a map of strings, such as { NAME = "value" }`
	}
	return t.FriendlyName()
}

func valueName(v cty.Value) string {
	t := v.Type()
	switch {
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		return "a list"
	case t.IsObjectType() || t.IsMapType():
		return "an object"
	case t.IsCapsuleType():
		return "a reference to a " + t.FriendlyName()
	}
	return typeName(t)
}
