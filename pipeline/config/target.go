package config

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"dray/pipeline"
)

// targetDecoder decodes targets in the order of their inheritance.
type targetDecoder struct {
	l      *loader
	blocks map[string]*hcl.Block
	stack  []string // targets under way, each inheriting from the next
	outer  *block   // the first of them
}

func (l *loader) decodeTargets(p *pipeline.Project) {
	d := &targetDecoder{l: l, blocks: map[string]*hcl.Block{}}
	l.eachNamed("target", func(name string, b *hcl.Block) { d.blocks[name] = b })
	for _, b := range l.blocks["target"] {
		name := b.Labels[0]
		if d.blocks[name] != b {
			continue
		}
		t := &pipeline.Target{Name: name, Context: ".", Dockerfile: "Dockerfile", At: l.at(b.DefRange)}
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
	source := d.blocks[name]
	d.stack = append(d.stack, name)
	defer func() { d.stack = d.stack[:len(d.stack)-1] }()

	b := d.l.open(source, kindTarget, named(source))
	if len(d.stack) == 1 {
		d.outer = b
	}
	parents := d.parents(b)
	if len(d.stack) == 1 {
		t.Inherits = parents
	}
	for _, parent := range parents {
		if slices.Contains(d.stack, parent) {
			d.cycle(parent)
			continue
		}
		d.l.muted++
		d.onto(t, parent)
		d.l.muted--
	}
	b.target(t)
}

// cycle records that the first target under way inherits from itself. A
// circle further on is recorded where it is the first one.
func (d *targetDecoder) cycle(parent string) {
	if parent != d.stack[0] {
		return
	}
	muted := d.l.muted
	d.l.muted = 0
	d.l.fault(d.outer.rangeOf("inherits"), "Inheritance cycle", "target %q inherits from itself: %s.",
		parent, strings.Join(append(slices.Clone(d.stack), parent), " → "))
	d.l.muted = muted
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
			parent = e.EncapsulatedValue().(*reference).name
		case e.Type() == cty.String && !e.IsNull() && !e.IsMarked():
			parent = e.AsString()
		}
		if d.blocks[parent] == nil {
			d.l.fault(attr.Expr.Range(), "Reference to undeclared target", "No target %q.%s", parent, didYouMean(parent, sortedKeys(d.blocks)))
			continue
		}
		out = append(out, parent)
	}
	return out
}

// target reads the arguments of a target.
func (b *block) target(t *pipeline.Target) {
	b.filled("context", &t.Context)
	b.filled("dockerfile", &t.Dockerfile)
	b.text("dockerfile-inline", &t.DockerfileInline)
	b.contexts(&t.Contexts)
	b.stringMap("args", &t.Args)
	b.stringMap("labels", &t.Labels)
	b.list("annotations", &t.Annotations)
	b.platforms(&t.Platforms)
	b.text("target", &t.Stage)
	b.tags(&t.Tags)
	b.cacheEntries("cache-from", &t.CacheFrom)
	b.cacheEntries("cache-to", &t.CacheTo)
	b.buildSecrets(&t.Secrets)
	b.buildSSH(&t.SSH)
	b.boolean("no-cache", &t.NoCache)
	b.list("no-cache-filter", &t.NoCacheFilter)
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
		b.stringMap("contexts", dst) // says what is wrong
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
			(*dst)[key] = "target:" + e.EncapsulatedValue().(*reference).name
		default:
			if s, ok := b.l.converted(e, attr.Expr, "contexts", cty.String); ok {
				(*dst)[key] = s.AsString()
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
			l.fault(l.place(t.At), "Reference to undeclared target", "contexts of target %q name target %q, which is not declared.%s", t.Name, other, didYouMean(other, names))
		} else if reaches(p, other, t.Name, map[string]bool{}) {
			l.fault(l.place(t.At), "Context cycle", "target %q and target %q need each other's image.", t.Name, other)
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

func (b *block) platforms(dst *[]string) {
	if !b.list("platforms", dst) {
		return
	}
	for _, p := range *dst {
		if !platformPattern.MatchString(p) {
			b.l.fault(b.rangeOf("platforms"), "Invalid platform", "%q is not a platform: write it like linux/amd64 or linux/arm64.", p)
		}
	}
}

func (b *block) tags(dst *[]string) {
	if !b.list("tags", dst) {
		return
	}
	for _, tag := range *dst {
		if _, err := name.NewTag(tag, name.WeakValidation); err != nil {
			b.l.fault(b.rangeOf("tags"), "Invalid tag", "%q is not an image's name with a tag: write it like registry.example.com/shop/web:1.0.", tag)
		}
	}
}

var ulimitPattern = regexp.MustCompile(`^[a-z]+=-?[0-9]+(:-?[0-9]+)?$`)

func (b *block) ulimits(dst *[]string) {
	if !b.list("ulimits", dst) {
		return
	}
	for _, u := range *dst {
		if !ulimitPattern.MatchString(u) {
			b.l.fault(b.rangeOf("ulimits"), "Invalid ulimit", `%q is not a limit: write it like "nofile=1024:2048".`, u)
		}
	}
}

// extraHosts reads bake's map of names to addresses, or its older list of
// "NAME=ADDRESS".
func (b *block) extraHosts(dst *map[string]string) {
	attr := b.content.Attributes["extra-hosts"]
	if attr == nil {
		return
	}
	v, ok := b.l.scope.peek(attr.Expr)
	if !ok || v.IsMarked() || v.Type().IsObjectType() || v.Type().IsMapType() || !v.CanIterateElements() {
		b.stringMap("extra-hosts", dst)
		return
	}
	var entries []string
	if !b.list("extra-hosts", &entries) {
		return
	}
	if *dst == nil {
		*dst = map[string]string{}
	}
	for _, e := range entries {
		host, address, ok := strings.Cut(e, "=")
		if !ok {
			host, address, ok = strings.Cut(e, ":")
		}
		if !ok {
			b.l.fault(attr.Expr.Range(), "Invalid extra host", `%q is not a name and an address: write { "NAME" = "10.0.0.1" }.`, e)
			continue
		}
		(*dst)[host] = address
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
