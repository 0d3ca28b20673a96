package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// namePattern is what project, service, task, host and environment names look
// like: they become parts of host names, networks and containers.
var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// secretPattern is what names of secrets look like; see pipeline/secret.
var secretPattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.-]*$`)

// targetPattern is bake's for names of targets.
var targetPattern = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

func (l *loader) checkName(kind, s string, at hcl.Range) bool {
	if namePattern.MatchString(s) {
		return true
	}
	l.fault(at, fmt.Sprintf("Invalid %s name", kind),
		"%q can't be the name of a %s: it has up to 40 small letters, digits and -, and starts with a letter.", s, kind)
	return false
}

// eachNamed calls decode for each block of a kind, once a name.
func (l *loader) eachNamed(kind string, decode func(name string, b *hcl.Block)) {
	seen := map[string]hcl.Range{}
	for _, b := range l.blocks[kind] {
		label := b.Labels[0]
		if before, twice := seen[label]; twice {
			l.duplicate(named(b), b.DefRange, before)
			continue
		}
		seen[label] = b.DefRange
		if !l.checkName(kind, label, b.LabelRanges[0]) {
			continue
		}
		decode(label, b)
	}
}

func (l *loader) decodeName(p *pipeline.Project, attrs []*hcl.Attribute) {
	if len(attrs) == 0 {
		l.faultAt(nil, "No project name", `Write project = "NAME" at the top of %s.`, l.mainName())
		return
	}
	for _, second := range attrs[1:] {
		l.duplicate("project", second.NameRange, attrs[0].NameRange)
	}
	expr := attrs[0].Expr
	if v, ok := l.convert(expr, "project", cty.String); ok {
		if l.checkName("project", v.AsString(), expr.Range()) {
			p.Name = v.AsString()
		}
	}
}

func (l *loader) mainName() string {
	if main := mainFile(l.dir); main != "" && l.opts.File == "" {
		return main
	}
	if l.opts.File != "" {
		return l.opts.File
	}
	return FileName
}

func (l *loader) decodeRegistry(p *pipeline.Project) {
	blocks := l.blocks["registry"]
	if len(blocks) == 0 {
		return
	}
	for _, second := range blocks[1:] {
		l.duplicate("registry", second.DefRange, blocks[0].DefRange)
	}
	b := l.open(blocks[0], kindRegistry, "registry")
	b.require("address")
	r := &pipeline.Registry{At: l.posOf(b.def)}
	b.boolean("insecure", &r.Insecure)
	b.registryTags(&r.Tags)
	if !b.filled("address", &r.Address) {
		return
	}
	r.Address = strings.TrimRight(r.Address, "/")
	if strings.Contains(r.Address, "://") {
		scheme, rest, _ := strings.Cut(r.Address, "://")
		hint := "."
		if scheme == "http" && !r.Insecure {
			hint = ", and insecure = true beside it."
		}
		l.fault(b.rangeOf("address"), "Invalid registry address", "A registry's address has no scheme: write %q%s", rest, hint)
		return
	}
	if host, _, _ := strings.Cut(r.Address, "/"); host != "localhost" && !strings.ContainsAny(host, ".:") {
		l.fault(b.rangeOf("address"), "Invalid registry address",
			"%q has no dot and no port, so images would go to Docker Hub. Write the registry's full name, such as %q, or %q for Docker Hub itself.",
			host, host+".example.com"+strings.TrimPrefix(r.Address, host), "docker.io/"+r.Address)
		return
	}
	if !validRegistry(r.Address) {
		l.fault(b.rangeOf("address"), "Invalid registry address",
			"%q is not a registry: write host[:port][/path], such as registry.example.com/shop.", r.Address)
		return
	}
	p.Registry = r
}

var tagPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// registryTags reads the tags that every image gets; empty ones are dropped, as
// those of targets are.
func (b *block) registryTags(dst *[]string) {
	var tags []string
	b.list("tags", &tags)
	for _, tag := range tags {
		switch {
		case tag == "":
		case tagPattern.MatchString(tag):
			*dst = append(*dst, tag)
		default:
			b.l.fault(b.rangeOf("tags"), "Invalid tag", "%q is not a tag: letters, digits, dots, hyphens and underscores, at most 128, without a repository. replace(%q, \"/\", \"-\") makes one of a branch.", tag, tag)
		}
	}
}

// validRegistry reports whether images can be named under address.
func validRegistry(address string) bool {
	host, path, _ := strings.Cut(address, "/")
	if _, err := name.NewRegistry(host, name.StrictValidation); err != nil {
		return false
	}
	_, err := name.NewRepository(host + "/" + strings.TrimPrefix(path+"/x", "/"))
	return err == nil
}

// reference reads an expression that must be a reference to a block of kind.
func (l *loader) reference(expr hcl.Expression, kind string) (string, bool) {
	v, ok := l.scope.eval(expr)
	if !ok {
		return "", false
	}
	return l.referenceValue(v, expr.Range(), kind)
}

func (l *loader) referenceValue(v cty.Value, at hcl.Range, kind string) (string, bool) {
	v, _ = v.Unmark()
	if !v.IsKnown() || v.IsNull() {
		return "", false
	}
	if v.Type().Equals(referenceTypes[kind]) {
		return referenceName(v), true
	}
	detail := fmt.Sprintf("What stands here must refer to a block: write %s.NAME.", kind)
	if v.Type().IsObjectType() && v.LengthInt() > 0 {
		detail = fmt.Sprintf("This is several blocks: write %s.NAME[\"KEY\"] for one of them, or the list values(%[1]s.NAME) for all.", kind)
	}
	if v.Type() == cty.String {
		name := v.AsString()
		names := l.scope.names[kind]
		if near := phrase.Nearest(name, names); near != "" && !slices.Contains(names, name) {
			name = near
		}
		for _, known := range names {
			if known == name {
				detail = fmt.Sprintf("References have no quotes: write %s.%s.", kind, name)
			}
		}
	}
	l.fault(at, "Reference expected", "%s", detail)
	return "", false
}

// references reads a list of references, reporting each element in its place.
// ok is false when the block does not set it, or not all of it could be read.
func (b *block) references(name, kind string) (refs []string, ok bool) {
	attr := b.content.Attributes[name]
	if attr == nil {
		return nil, false
	}
	elements, diags := hcl.ExprList(attr.Expr)
	if diags.HasErrors() {
		return b.referencesIn(attr, kind)
	}
	out, seen, ok := []string{}, map[string]bool{}, true
	for _, e := range elements {
		v, read := b.l.scope.eval(e)
		if read && v.IsKnown() && v.IsNull() {
			continue // as if it were not there: cond ? host.p1 : null
		}
		ref := ""
		if read {
			ref, read = b.l.referenceValue(v, e.Range(), kind)
		}
		switch {
		case !read:
			ok = false
		case seen[ref]:
			b.l.fault(e.Range(), "Duplicate "+kind, "%s.%s is in this list already.", kind, ref)
		default:
			out, seen[ref] = append(out, ref), true
		}
	}
	return out, ok
}

// referencesIn reads references of a list that is computed as a whole.
func (b *block) referencesIn(attr *hcl.Attribute, kind string) (refs []string, ok bool) {
	v, ok := b.l.scope.eval(attr.Expr)
	if !ok || !v.IsWhollyKnown() || v.IsNull() {
		return nil, false
	}
	v, _ = v.UnmarkDeep()
	if !v.CanIterateElements() {
		b.l.fault(attr.Expr.Range(), fmt.Sprintf("Wrong type for %q", attr.Name), "%s is a list: write %s = [%s.NAME].", attr.Name, attr.Name, kind)
		return nil, false
	}
	refs = []string{}
	seen := map[string]bool{}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if e.IsNull() {
			continue
		}
		ref, read := b.l.referenceValue(e, attr.Expr.Range(), kind)
		if !read {
			return refs, false
		}
		if !seen[ref] {
			refs, seen[ref] = append(refs, ref), true
		}
	}
	return refs, true
}
