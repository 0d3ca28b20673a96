package config

import (
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"dray/pipeline/phrase"
)

// localPlatform is what bake calls "local": the platform of this machine, whose
// images are Linux images everywhere.
const localPlatform = "linux/" + runtime.GOARCH

// platforms reads a list of platforms. "local" alone is the builder's own.
func (b *block) platforms(dst *[]string) {
	if !b.textList("platforms", dst) {
		return
	}
	if slices.Equal(*dst, []string{"local"}) {
		*dst = []string{}
	}
	for i, p := range *dst {
		if p == "local" {
			(*dst)[i] = localPlatform
		} else if !platformPattern.MatchString(p) {
			b.l.fault(b.rangeOf("platforms"), "Invalid platform", "%q is not a platform: write it like linux/amd64 or linux/arm64.", p)
		}
	}
}

func (b *block) tags(dst *[]string) {
	if !b.textList("tags", dst) {
		return
	}
	for _, tag := range *dst {
		if _, err := name.NewTag(tag, name.WeakValidation); err == nil {
			continue
		}
		repository, version := tag, ""
		if i := strings.LastIndex(tag, ":"); i > strings.LastIndex(tag, "/") {
			repository, version = tag[:i], tag[i:]
		}
		lower := strings.ToLower(repository) + version
		if _, err := name.NewTag(lower, name.WeakValidation); err == nil {
			b.l.fault(b.rangeOf("tags"), "Invalid tag", "Names of images are in lower case: write %q.", lower)
			continue
		}
		b.l.fault(b.rangeOf("tags"), "Invalid tag", "%q is not an image's name with a tag: write it like registry.example.com/shop/web:1.0.", tag)
	}
}

// textList reads a list of strings without the empty ones, which a condition
// leaves: notequal("", TAG) ? "example.com/web:${TAG}" : "".
func (b *block) textList(name string, dst *[]string) bool {
	if !b.list(name, dst) {
		return false
	}
	*dst = slices.DeleteFunc(*dst, func(s string) bool { return s == "" })
	return true
}

// mergedList reads a list of strings and adds what dst lacks.
func (b *block) mergedList(name string, dst *[]string) bool {
	var list []string
	if !b.textList(name, &list) {
		return false
	}
	for _, s := range list {
		if !slices.Contains(*dst, s) {
			*dst = append(*dst, s)
		}
	}
	return true
}

// mergedMap reads a map of strings over dst. null leaves a key as it was, as in
// bake, whereas in a service it takes the key away.
func (b *block) mergedMap(name string, dst *map[string]string) {
	var own map[string]string
	if !b.stringMap(name, &own) {
		return
	}
	if *dst == nil {
		*dst = map[string]string{}
	}
	maps.Copy(*dst, own)
}

// annotationTypes are what bake can annotate, each of one platform alone with
// [PLATFORM] behind it.
var annotationTypes = []string{"index", "index-descriptor", "manifest", "manifest-descriptor"}

// annotations reads "[TYPE[,TYPE]:]KEY=VALUE".
func (b *block) annotations(dst *[]string) {
	if !b.mergedList("annotations", dst) {
		return
	}
	for _, a := range *dst {
		key, _, ok := strings.Cut(a, "=")
		types, rest, typed := strings.Cut(key, ":")
		if !ok || key == "" || typed && rest == "" {
			b.l.fault(b.rangeOf("annotations"), "Invalid annotation", `%q is not KEY=VALUE, or TYPE:KEY=VALUE.`, a)
			continue
		}
		if !typed {
			continue
		}
		for t := range strings.SplitSeq(types, ",") {
			if t, _, _ = strings.Cut(strings.TrimSpace(t), "["); !slices.Contains(annotationTypes, t) {
				b.l.fault(b.rangeOf("annotations"), "Invalid annotation", "%q is for a type %q; there are: %s.%s",
					a, t, strings.Join(annotationTypes, ", "), phrase.DidYouMean(t, annotationTypes))
			}
		}
	}
}

var ulimitPattern = regexp.MustCompile(`^[a-z]+=-?[0-9]+(:-?[0-9]+)?$`)

// ulimits reads limits over those in dst of the same name.
func (b *block) ulimits(dst *[]string) {
	var list []string
	if !b.textList("ulimits", &list) {
		return
	}
	for _, u := range list {
		if !ulimitPattern.MatchString(u) {
			b.l.fault(b.rangeOf("ulimits"), "Invalid ulimit", `%q is not a limit: write it like "nofile=1024:2048".`, u)
			continue
		}
		mergeNamed(dst, u, func(s string) string { name, _, _ := strings.Cut(s, "="); return name })
	}
}

// extraHosts reads bake's map of names to addresses, or its older list of
// "NAME=ADDRESS".
func (b *block) extraHosts(dst *map[string]string) {
	attr := b.content.Attributes["extra-hosts"]
	if attr == nil {
		return
	}
	v, ok := b.l.scope.evalQuietly(attr.Expr)
	if !ok || v.IsMarked() || v.Type().IsObjectType() || v.Type().IsMapType() || !v.CanIterateElements() {
		b.mergedMap("extra-hosts", dst)
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
