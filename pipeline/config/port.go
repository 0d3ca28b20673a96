package config

import (
	"slices"

	"github.com/zclconf/go-cty/cty"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// reach reads where on a host a port is published, and for whom.
func (b *block) reach(p *pipeline.Port) {
	var list []string
	if b.texts("address", &list) {
		p.Address = b.parsed("address", list, pipeline.ParsePortAddress)
		if all := slices.Index(p.Address, pipeline.Everywhere); all >= 0 {
			if len(p.Address) > 1 {
				b.l.fault(b.rangeOf("address"), "Address beside all addresses", `"*" is every address of the host. Drop it, or the others.`)
			}
			p.Address = nil
		}
	}
	if b.texts("from", &list) {
		p.From = b.parsed("from", list, pipeline.ParsePortSource)
		if slices.Contains(p.From, "0.0.0.0/0") {
			p.From = nil
		}
	}
	if p.Publish != 0 {
		return
	}
	for _, name := range []string{"address", "from"} {
		if b.has(name) {
			b.l.fault(b.rangeOf(name), "Nothing is published", "%s says how a port is reached on the host. Write publish = … beside it.", name)
		}
	}
}

// texts reads one string, or a list of strings that is not empty.
func (b *block) texts(name string, dst *[]string) bool {
	if !b.has(name) {
		return false
	}
	if v, ok := b.l.scope.evalQuietly(b.content.Attributes[name].Expr); ok && !v.IsMarked() && v.Type() == cty.String {
		var s string
		if !b.filled(name, &s) {
			return false
		}
		*dst = []string{s}
		return true
	}
	if !b.list(name, dst) {
		return false
	}
	if len(*dst) == 0 {
		b.l.fault(b.rangeOf(name), "Empty list", "Nobody could reach the port. Drop %s, or publish.", name)
		return false
	}
	return true
}

// parsed returns the list in its kept form: sorted, each once. What can't be
// read is a fault and left out.
func (b *block) parsed(name string, list []string, parse func(string) (string, error)) []string {
	var out []string
	for _, s := range list {
		v, err := parse(s)
		if err != nil {
			b.l.fault(b.rangeOf(name), "Invalid "+name, "%s.", phrase.Capital(err.Error()))
			continue
		}
		out = append(out, v)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
