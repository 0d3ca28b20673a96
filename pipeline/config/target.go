package config

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"

	imagename "github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// targetDecoder decodes targets in the order of their inheritance.
type targetDecoder struct {
	l      *loader
	blocks map[string][]*hcl.Block // by name; blocks of one name are merged in the file's order, as bake does
	stack  []string                // targets under way, each inheriting from the next
	outer  *block                  // the first of them
}

func (l *loader) decodeTargets(p *pipeline.Project) {
	d := &targetDecoder{l: l, blocks: map[string][]*hcl.Block{}}
	var names []string
	for _, b := range l.blocks["target"] {
		name := b.Labels[0]
		if !targetPattern.MatchString(name) {
			l.fault(b.LabelRanges[0], "Invalid target name", "%q can't be the name of a target: it has letters, digits, _ and -.", name)
			continue
		}
		if d.blocks[name] == nil {
			names = append(names, name)
		}
		d.blocks[name] = append(d.blocks[name], b)
	}
	for _, name := range names {
		t := &pipeline.Target{Name: name, Context: ".", Dockerfile: "Dockerfile", At: l.posOf(d.blocks[name][0].DefRange)}
		d.onto(t, name)
		p.Targets[name] = t
	}
	for _, name := range sortedKeys(p.Targets) {
		l.checkContexts(p, p.Targets[name])
	}
}

// onto decodes a target onto t, after the targets that it inherits from. Their
// faults are recorded where they are decoded for themselves.
func (d *targetDecoder) onto(t *pipeline.Target, name string) {
	d.stack = append(d.stack, name)
	defer func() { d.stack = d.stack[:len(d.stack)-1] }()

	var blocks []*block
	for _, source := range d.blocks[name] {
		blocks = append(blocks, d.l.open(source, kindTarget, named(source)))
	}
	inheriting := blocks[0]
	for _, b := range blocks {
		if b.has("inherits") {
			inheriting = b // the last one's, as of any argument
		}
	}
	parents := d.parents(inheriting)
	if len(d.stack) == 1 {
		d.outer, t.Inherits = inheriting, parents
	}
	for _, parent := range parents {
		if slices.Contains(d.stack, parent) {
			d.cycle(parent)
			continue
		}
		d.l.suppressed++
		d.onto(t, parent)
		d.l.suppressed--
	}
	for _, b := range blocks {
		b.target(t)
	}
}

// cycle records that the first target under way inherits from itself. A
// circle further on is recorded where it is the first one.
func (d *targetDecoder) cycle(parent string) {
	if parent != d.stack[0] {
		return
	}
	suppressed := d.l.suppressed
	d.l.suppressed = 0
	d.l.fault(d.outer.rangeOf("inherits"), "Inheritance cycle", "target %q inherits from itself: %s.",
		parent, strings.Join(append(slices.Clone(d.stack), parent), " → "))
	d.l.suppressed = suppressed
}

// parents reads inherits: names as bake writes them, or references.
func (d *targetDecoder) parents(b *block) []string {
	attr := b.content.Attributes["inherits"]
	if attr == nil {
		return nil
	}
	v, ok := d.l.scope.eval(attr.Expr)
	if !ok || v.IsNull() || !v.IsWhollyKnown() || v.IsMarked() || !v.CanIterateElements() {
		return nil
	}
	var out []string
	for _, e := range v.AsValueSlice() {
		var parent string
		switch {
		case e.Type().Equals(referenceTypes["target"]):
			parent = referenceName(e)
		case e.Type() == cty.String && !e.IsNull() && !e.IsMarked():
			parent = e.AsString()
		}
		if d.blocks[parent] == nil {
			d.l.fault(attr.Expr.Range(), "Reference to undeclared target", "No target %q.%s", parent, phrase.DidYouMean(parent, sortedKeys(d.blocks)))
			continue
		}
		out = append(out, parent)
	}
	return out
}

// target reads the arguments of a target.
func (b *block) target(t *pipeline.Target) {
	if b.filled("context", &t.Context) {
		t.Context = localContext(t.Context)
	}
	if b.filled("dockerfile", &t.Dockerfile) {
		t.Dockerfile = localContext(t.Dockerfile)
	}
	b.text("dockerfile-inline", &t.DockerfileInline)
	b.contexts(&t.Contexts)
	b.mergedMap("args", &t.Args)
	b.mergedMap("labels", &t.Labels)
	b.annotations(&t.Annotations)
	b.platforms(&t.Platforms)
	b.text("target", &t.Stage)
	b.tags(&t.Tags)
	b.cacheFrom(&t.CacheFrom)
	b.cacheEntries("cache-to", &t.CacheTo)
	b.buildSecrets(&t.Secrets)
	b.buildSSH(&t.SSH)
	b.boolean("no-cache", &t.NoCache)
	b.mergedList("no-cache-filter", &t.NoCacheFilter)
	b.boolean("pull", &t.Pull)
	b.oneOf("network", &t.Network, "default", "none", "host")
	b.amount("shm-size", &t.ShmSize)
	b.ulimits(&t.Ulimits)
	b.extraHosts(&t.ExtraHosts)
	b.entitlements(&t.Entitlements)
	if b.has("dockerfile") && b.has("dockerfile-inline") {
		b.l.fault(b.rangeOf("dockerfile-inline"), "Two Dockerfiles", "dockerfile and dockerfile-inline exclude each other. Drop one.")
	}
	var description string
	b.text("description", &description)
}

// contexts reads named contexts; a reference to a target is bake's
// "target:NAME".
func (b *block) contexts(dst *map[string]string) {
	attr := b.content.Attributes["contexts"]
	if attr == nil {
		return
	}
	v, ok := b.l.scope.eval(attr.Expr)
	if !ok || v.IsNull() || !v.IsWhollyKnown() {
		return
	}
	if !v.Type().IsObjectType() && !v.Type().IsMapType() || v.ContainsMarked() {
		b.stringMap("contexts", dst) // records the fault
		return
	}
	if *dst == nil {
		*dst = map[string]string{}
	}
	for key, e := range v.AsValueMap() {
		switch {
		case e.IsNull():
			delete(*dst, key)
		case e.Type().Equals(referenceTypes["target"]):
			(*dst)[key] = "target:" + referenceName(e)
		default:
			if s, ok := b.l.converted(e, attr.Expr, "contexts", cty.String); ok {
				(*dst)[key] = localContext(s.AsString())
			}
		}
	}
}

// checkContexts looks for contexts that are targets, and circles of them.
func (l *loader) checkContexts(p *pipeline.Project, t *pipeline.Target) {
	names := sortedKeys(p.Targets)
	for _, key := range sortedKeys(t.Contexts) {
		other, ok := strings.CutPrefix(t.Contexts[key], "target:")
		if !ok {
			continue
		}
		if p.Targets[other] == nil {
			l.fault(l.rangeAt(t.At), "Reference to undeclared target", "contexts of target %q name target %q, which is not declared.%s", t.Name, other, phrase.DidYouMean(other, names))
		} else if reaches(p, other, t.Name, map[string]bool{}) {
			l.fault(l.rangeAt(t.At), "Context cycle", "target %q and target %q need each other's image.", t.Name, other)
		}
	}
}

// reaches reports whether building from needs the image of to.
func reaches(p *pipeline.Project, from, to string, seen map[string]bool) bool {
	if from == to {
		return true
	}
	if seen[from] || p.Targets[from] == nil {
		return false
	}
	seen[from] = true
	for _, c := range p.Targets[from].Contexts {
		if next, ok := strings.CutPrefix(c, "target:"); ok && reaches(p, next, to, seen) {
			return true
		}
	}
	return false
}

var platformPattern = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?$`)

// bakeContext stands in bake's files for the folder that bake was called in,
// which is the file's own here.
const bakeContext = "cwd://"

// localContext returns a context without bake's prefix for local folders.
func localContext(s string) string {
	if rest, ok := strings.CutPrefix(s, bakeContext); ok {
		return path.Join(".", rest)
	}
	return s
}

// checkTargetNames finds targets that are pushed and whose name can't be part of
// an image's. What is only inherited from is never pushed.
func (l *loader) checkTargetNames(p *pipeline.Project) {
	if p.Registry == nil {
		return
	}
	templates := p.Templates()
	for _, name := range sortedKeys(p.Targets) {
		if slices.Contains(templates, name) {
			continue
		}
		if _, err := imagename.ParseNamed(p.Registry.Address + "/" + name); err != nil {
			l.fault(l.rangeAt(p.Targets[name].At), "Target name that no registry takes",
				"Target %q is pushed as %s/%[1]s, and names of images have small letters and digits, with single _, . or - between them. Rename it.", name, p.Registry.Address)
		}
	}
}

// sortedAttrs returns "k=v" pairs, for messages.
func sortedAttrs(attrs map[string]string) string {
	var out []string
	for k, v := range attrs {
		out = append(out, fmt.Sprintf("%s=%s", k, v))
	}
	sort.Strings(out)
	return strings.Join(out, ",")
}
