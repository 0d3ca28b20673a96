package config

import (
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// entry is one element of cache-from, cache-to, secret or ssh: an object, or
// bake's string of KEY=VALUE pairs.
type entry struct {
	attrs map[string]string
	word  string // a string without "="
}

// entries reads a list of entries. A single one may stand without brackets.
// parse reads one that is a string.
func (b *block) entries(name string, parse func(string) (entry, error)) ([]entry, bool) {
	attr := b.content.Attributes[name]
	if attr == nil {
		return nil, false
	}
	v, ok := b.l.scope.eval(attr.Expr)
	if !ok || v.IsNull() || !v.IsWhollyKnown() {
		return nil, false
	}
	if v.ContainsMarked() {
		b.list(name, new([]string)) // records the fault
		return nil, false
	}
	values := []cty.Value{v}
	if t := v.Type(); t.IsTupleType() || t.IsListType() || t.IsSetType() {
		values = v.AsValueSlice()
	}
	var out []entry
	for _, e := range values {
		if e.IsNull() {
			continue // as bake: cond ? {…} : null
		}
		one, err := readEntry(e, parse)
		if err != nil {
			b.l.fault(attr.Expr.Range(), fmt.Sprintf("Invalid %s", name), "%s.", phrase.Capital(err.Error()))
			continue
		}
		if one.word != "" || len(one.attrs) > 0 { // bake drops empty ones as well
			out = append(out, one)
		}
	}
	return out, true
}

func readEntry(v cty.Value, parse func(string) (entry, error)) (entry, error) {
	switch t := v.Type(); {
	case t == cty.String:
		return parse(v.AsString())
	case t.IsObjectType() || t.IsMapType():
		out := entry{attrs: map[string]string{}}
		for key, e := range v.AsValueMap() {
			if e.IsNull() {
				continue
			}
			s, err := text(e)
			if err != nil {
				return entry{}, fmt.Errorf("%s must be a string", key)
			}
			out.attrs[key] = s
		}
		return out, nil
	}
	return entry{}, fmt.Errorf("an element is an object or a string, not %s", valueName(v))
}

// text returns a plain value, or a list of such joined by commas, as a string.
func text(v cty.Value) (string, error) {
	if t := v.Type(); t.IsTupleType() || t.IsListType() {
		var parts []string
		for _, e := range v.AsValueSlice() {
			s, err := text(e)
			if err != nil {
				return "", err
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, ","), nil
	}
	switch {
	case v.IsNull():
		return "", fmt.Errorf("null is not a string")
	case v.Type() == cty.String:
		return v.AsString(), nil
	case v.Type() == cty.Bool:
		return fmt.Sprint(v.True()), nil
	case v.Type() == cty.Number:
		return numberText(v.AsBigFloat()), nil
	}
	return "", fmt.Errorf("%s is not a string", valueName(v))
}

// parseEntry reads "type=registry,ref=example.com/cache". The form is CSV, as
// buildx reads it: a value with a comma stands in quotes with its key.
func parseEntry(s string) (entry, error) {
	if strings.TrimSpace(s) == "" {
		return entry{}, nil
	}
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return entry{}, fmt.Errorf("%q is not a list of KEY=VALUE pairs", s)
	}
	if len(fields) == 1 && !strings.Contains(fields[0], "=") {
		return entry{word: fields[0]}, nil
	}
	out := entry{attrs: map[string]string{}}
	for _, f := range fields {
		key, value, ok := strings.Cut(f, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !ok || key == "" {
			return entry{}, fmt.Errorf("%q in %q is not KEY=VALUE", f, s)
		}
		out.attrs[key] = value
	}
	return out, nil
}

func (b *block) cacheEntries(name string, dst *[]pipeline.CacheEntry) {
	entries, ok := b.entries(name, parseEntry)
	if !ok {
		return
	}
	out := []pipeline.CacheEntry{}
	for _, e := range entries {
		c := pipeline.CacheEntry{Type: e.attrs["type"]}
		if e.word != "" { // a plain reference, as buildx allows
			c = pipeline.CacheEntry{Type: "registry", Attrs: map[string]string{"ref": e.word}}
		} else if c.Type == "" {
			b.l.fault(b.rangeOf(name), "Cache without a type", `Write type = "registry", "local", "inline", "gha", "s3" or "azblob" in %s of %s.`, name, sortedAttrs(e.attrs))
			continue
		}
		for key, value := range e.attrs {
			if key != "type" {
				if c.Attrs == nil {
					c.Attrs = map[string]string{}
				}
				c.Attrs[key] = value
			}
		}
		out = append(out, c)
	}
	*dst = out
}

// cacheFrom reads caches to read, and adds them to dst.
func (b *block) cacheFrom(dst *[]pipeline.CacheEntry) {
	var list []pipeline.CacheEntry
	b.cacheEntries("cache-from", &list)
	for _, c := range list {
		if !slices.ContainsFunc(*dst, func(other pipeline.CacheEntry) bool { return c.Type == other.Type && maps.Equal(c.Attrs, other.Attrs) }) {
			*dst = append(*dst, c)
		}
	}
}

func (b *block) buildSecrets(dst *[]pipeline.BuildSecret) {
	entries, ok := b.entries("secret", parseEntry)
	if !ok {
		return
	}
	for _, e := range entries {
		if e.word != "" {
			e.attrs = map[string]string{"id": e.word}
		}
		s := pipeline.BuildSecret{ID: e.attrs["id"], Env: e.attrs["env"], Src: e.attrs["src"], Type: e.attrs["type"]}
		if s.Src == "" {
			s.Src = e.attrs["source"]
		}
		b.knownKeys("secret", e.attrs, "id", "env", "src", "source", "type")
		switch {
		case s.ID == "":
			b.l.fault(b.rangeOf("secret"), "Secret without an id", `Write id = "NAME", the name that RUN --mount=type=secret,id=NAME uses.`)
			continue
		case s.Type != "" && s.Type != "env" && s.Type != "file":
			b.l.fault(b.rangeOf("secret"), "Unknown type of secret", `The type of a secret is "env" or "file", not %q.`, s.Type)
			continue
		case s.Env != "" && s.Src != "":
			b.l.fault(b.rangeOf("secret"), "Secret with two sources", "Secret %q has both env and src. Drop one.", s.ID)
			continue
		}
		if s.Type == "env" && s.Src != "" { // as buildx: src names the variable then
			s.Env, s.Src = s.Src, ""
		}
		if s.Src == "" && s.Env == "" {
			b.secretSource(&s)
		}
		mergeNamed(dst, s, func(s pipeline.BuildSecret) string { return s.ID })
	}
}

// secretSource chooses where a secret that has only an id comes from: the
// variable of that name, or, as in buildx, a file of that name where there is no
// such variable.
func (b *block) secretSource(s *pipeline.BuildSecret) {
	_, isSet := b.l.environ(s.ID)
	info, err := os.Stat(b.l.resolve(s.ID))
	isFile := err == nil && info.Mode().IsRegular()
	if s.Type == "file" || s.Type == "" && !isSet && isFile {
		s.Src = s.ID
		return
	}
	s.Env = s.ID
}

func (b *block) buildSSH(dst *[]pipeline.BuildSSH) {
	entries, ok := b.entries("ssh", parseSSHEntry)
	if !ok {
		return
	}
	for _, e := range entries {
		s := pipeline.BuildSSH{ID: e.attrs["id"]}
		paths := e.attrs["paths"]
		b.knownKeys("ssh", e.attrs, "id", "paths")
		if s.ID == "" {
			s.ID = "default"
		}
		if paths != "" {
			s.Paths = strings.Split(paths, ",")
		}
		mergeNamed(dst, s, func(s pipeline.BuildSSH) string { return s.ID })
	}
}

// parseSSHEntry reads "ID", or "ID=PATH,PATH" as buildx does.
func parseSSHEntry(s string) (entry, error) {
	id, paths, _ := strings.Cut(s, "=")
	if strings.TrimSpace(s) == "" {
		return entry{}, nil
	}
	return entry{attrs: map[string]string{"id": id, "paths": paths}}, nil
}

func (b *block) knownKeys(name string, attrs map[string]string, known ...string) {
	for _, key := range sortedKeys(attrs) {
		found := false
		for _, k := range known {
			found = found || k == key
		}
		if !found {
			b.l.fault(b.rangeOf(name), fmt.Sprintf("Unknown key %q in %s", key, name), "It has: %s.%s", strings.Join(known, ", "), phrase.DidYouMean(key, known))
		}
	}
}

// entitlements reads what the steps of a target, and of those that inherit it,
// may ask for.
func (b *block) entitlements(dst *[]string) {
	var names []string
	b.list("entitlements", &names)
	for _, name := range names {
		switch {
		case name != "network.host" && name != "security.insecure":
			b.l.fault(b.rangeOf("entitlements"), "Invalid entitlement", "%q is none: there are \"network.host\" (for RUN --network=host) and \"security.insecure\" (for RUN --security=insecure).", name)
		case !slices.Contains(*dst, name):
			*dst = append(slices.Clone(*dst), name)
		}
	}
}
