package config

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// The methods of this file read one argument each into dst, and leave dst as
// it is when the block does not set it. They report whether they set it.

func (b *block) text(name string, dst *string) bool {
	v, ok := b.value(name, cty.String)
	if ok {
		*dst = v.AsString()
	}
	return ok
}

// filled reads a string that may not be empty.
func (b *block) filled(name string, dst *string) bool {
	var s string
	if !b.text(name, &s) {
		return false
	}
	if strings.TrimSpace(s) == "" {
		b.l.fault(b.rangeOf(name), "Empty "+name, "%s may not be empty.", name)
		return false
	}
	*dst = s
	return true
}

func (b *block) boolean(name string, dst *bool) bool {
	v, ok := b.value(name, cty.Bool)
	if ok {
		*dst = v.True()
	}
	return ok
}

// integer reads a whole number from low to high.
func (b *block) integer(name string, dst *int, low, high int) bool {
	v, ok := b.value(name, cty.Number)
	if !ok {
		return false
	}
	f, _ := v.AsBigFloat().Float64()
	if f != math.Trunc(f) || f < float64(low) || f > float64(high) {
		b.l.fault(b.rangeOf(name), "Number out of range", "%s is a whole number from %d to %d.", name, low, high)
		return false
	}
	*dst = int(f)
	return true
}

// list reads a list of strings. A single string is a fault.
func (b *block) list(name string, dst *[]string) bool {
	v, ok := b.value(name, cty.List(cty.String))
	if !ok {
		return false
	}
	out := make([]string, 0, v.LengthInt())
	for _, e := range v.AsValueSlice() {
		if e.IsNull() {
			b.l.fault(b.rangeOf(name), "Null in a list", "An element of %s is null. compact([…]) drops such.", name)
			return false
		}
		out = append(out, e.AsString())
	}
	*dst = out
	return true
}

// command reads a program and its arguments. A string is refused with the
// list that was probably meant.
func (b *block) command(name string, dst *[]string) bool {
	attr := b.content.Attributes[name]
	if attr == nil {
		return false
	}
	if v, ok := b.l.scope.evalQuietly(attr.Expr); ok && v.Type() == cty.String {
		if v.IsMarked() {
			return b.list(name, dst) // records the fault
		}
		quoted := fmt.Sprintf("%q", strings.Fields(v.AsString()))
		b.l.fault(attr.Expr.Range(), fmt.Sprintf("Wrong type for %q", name),
			`%s is a list; no shell reads it. Write %s = %s, or ["sh", "-c", "…"] for a shell.`,
			name, name, strings.ReplaceAll(quoted, `" "`, `", "`))
		return false
	}
	return b.list(name, dst)
}

// stringMap reads a map of strings; null drops a key. Entries of dst are kept
// and overwritten, so that a later block merges over an earlier one.
func (b *block) stringMap(name string, dst *map[string]string) bool {
	v, ok := b.value(name, cty.Map(cty.String))
	if !ok {
		return false
	}
	if *dst == nil {
		*dst = map[string]string{}
	}
	for key, e := range v.AsValueMap() {
		if e.IsNull() {
			delete(*dst, key)
		} else {
			(*dst)[key] = e.AsString()
		}
	}
	return true
}

// environment reads env = { … }.
func (b *block) environment(name string, dst *map[string]string) {
	if !b.stringMap(name, dst) {
		return
	}
	for _, key := range sortedKeys(*dst) {
		if key == "" || strings.ContainsAny(key, "=\x00 \t\n") {
			b.l.fault(b.rangeOf(name), "Invalid variable name", "%q can't be the name of an environment variable.", key)
			delete(*dst, key)
		} else if strings.Contains((*dst)[key], "\x00") {
			b.l.fault(b.rangeOf(name), "Invalid variable value", "The value of %s contains a NUL character.", key)
		}
	}
}

// duration reads a time of at least low.
func (b *block) duration(name string, dst *pipeline.Duration, low time.Duration) bool {
	var s string
	if !b.text(name, &s) {
		return false
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		b.l.fault(b.rangeOf(name), "Invalid duration", `%q is not a duration: write %s like "250ms", "5s" or "1m30s".`, s, name)
		return false
	case d < low:
		b.l.fault(b.rangeOf(name), "Duration too short", "%s is at least %s.", name, pipeline.Duration(low))
		return false
	}
	*dst = pipeline.Duration(d)
	return true
}

// amount reads bytes: "256MiB", or a plain number.
func (b *block) amount(name string, dst *pipeline.Bytes) bool {
	var s string
	if !b.text(name, &s) {
		return false
	}
	v, err := pipeline.ParseBytes(s)
	if err != nil {
		b.l.fault(b.rangeOf(name), "Invalid amount", "%s.", phrase.Capital(err.Error()))
		return false
	}
	*dst = v
	return true
}

// oneOf reads one of some words.
func (b *block) oneOf(name string, dst *string, words ...string) bool {
	var s string
	if !b.text(name, &s) {
		return false
	}
	if !slices.Contains(words, s) {
		b.l.fault(b.rangeOf(name), fmt.Sprintf("Unknown %s %q", strings.ReplaceAll(name, "_", " "), s),
			"%s is one of %s.%s", name, strings.Join(words, ", "), phrase.DidYouMean(s, words))
		return false
	}
	*dst = s
	return true
}

// absolute reads an absolute path in a container or on a host.
func (b *block) absolute(name string, dst *string) bool {
	var s string
	if !b.filled(name, &s) {
		return false
	}
	if b.notAbsolute(name, s) {
		return false
	}
	*dst = s
	return true
}

func (b *block) notAbsolute(name, s string) bool {
	if path.IsAbs(s) && !strings.Contains(s, "\x00") {
		return false
	}
	b.l.fault(b.rangeOf(name), "Not an absolute path", "%s is a path that starts with /; %q does not.", name, s)
	return true
}

// blocksOf calls decode for each nested block of a type, in the file's order,
// and reports a label that is used twice.
func (b *block) blocksOf(typ string, decode func(*hcl.Block)) {
	seen := map[string]hcl.Range{}
	for _, nested := range b.content.Blocks.OfType(typ) {
		label := ""
		if len(nested.Labels) > 0 {
			label = nested.Labels[0]
		}
		if before, twice := seen[label]; twice {
			b.l.duplicate(named(nested), nested.DefRange, before)
			continue
		}
		seen[label] = nested.DefRange
		decode(nested)
	}
}

// duplicate records that something is there twice, naming both places.
func (l *loader) duplicate(what string, second, first hcl.Range) {
	l.fault(second, "Duplicate "+what, "There is one at %s:%d already. Rename one, or merge them.", first.Filename, first.Start.Line)
}
