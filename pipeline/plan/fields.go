package plan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// settings are the fields of a new service that say most.
func (c *comparison) settings(name string, s *pipeline.Service) []Field {
	out := []Field{{Name: "image", New: c.imageText(c.in.Desired.Images[name], s.Image), Note: c.sendNote(c.in.Desired.Images[name].Digest)}}
	for _, p := range s.Ports {
		if p.Publish != 0 {
			out = append(out, Field{Name: "port." + p.Name, New: p.Published()})
		}
	}
	return out
}

// differences compares a service with itself in the release before.
func (c *comparison) differences(name string, have, want *pipeline.Service) []Field {
	fields := c.imageDifference(name, have.Image, want.Image)
	fields = append(fields, compareFields(have.Canonical(), want.Canonical())...)
	fields = append(fields, c.secretDifferences(want.Secrets)...)
	for i := range fields {
		if fields[i].Name == "memory" {
			fields[i].Note = c.memoryNote()
		}
	}
	return fields
}

func (c *comparison) taskDifferences(name string, have, want *pipeline.Task) []Field {
	fields := c.imageDifference("task."+name, have.Image, want.Image)
	fields = append(fields, compareFields(have.Canonical(), want.Canonical())...)
	return append(fields, c.secretDifferences(want.Secrets)...)
}

// imageDifference compares an image of the release by its digest, and by what
// the file calls it.
func (c *comparison) imageDifference(key string, have, want pipeline.Image) []Field {
	before, after := c.base.Images[key], c.in.Desired.Images[key]
	switch {
	case before.Digest == after.Digest && have == want:
		return nil
	case before.Digest == after.Digest && after.Digest != "":
		return []Field{{Name: "image", Old: have.String(), New: want.String(), Note: "the same bytes"}}
	}
	return []Field{{Name: "image", Old: c.imageText(before, have), New: c.imageText(after, want), Note: c.sendNote(after.Digest)}}
}

// secretDifferences say that a value is another, not which.
func (c *comparison) secretDifferences(secrets []pipeline.Secret) []Field {
	var out []Field
	for _, s := range secrets {
		before, after := c.base.Secrets[s.Name], c.in.Desired.Secrets[s.Name]
		if before != after && before != "" { // a new secret is a new field already
			out = append(out, Field{Name: "secret." + s.Name, Old: "old value", New: "new value"})
		}
	}
	return out
}

// compareFields compares two services or tasks field by field, by their JSON
// form: a field that is added to them some day is compared from that day on.
// Values are compared as they are, and only then written for people. The image
// is left out; its digest decides.
func compareFields(have, want any) []Field {
	before, after := flat(have), flat(want)
	var out []Field
	for _, name := range union(before, after) {
		if before[name] != after[name] {
			out = append(out, Field{Name: name, Old: before[name].text, New: after[name].text})
		}
	}
	return out
}

// leaf is one value of a field: as JSON has it, and as a person writes it.
type leaf struct{ exact, text string }

// flat returns the leaves of a value's JSON form by their path.
func flat(v any) map[string]leaf {
	b, err := json.Marshal(v)
	if err != nil {
		panic("plan: values of the domain have a JSON form: " + err.Error())
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	var tree map[string]any
	if err := decoder.Decode(&tree); err != nil {
		panic("plan: reading back JSON: " + err.Error())
	}
	delete(tree, "name")
	delete(tree, "image")
	out := map[string]leaf{}
	flatten(out, "", tree)
	return out
}

// listNames are the words of the file for lists whose elements have names.
var listNames = map[string]string{"ports": "port", "volumes": "volume", "secrets": "secret", "files": "file"}

func flatten(out map[string]leaf, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			flatten(out, join(path, key), v[key])
		}
	case []any:
		if word := listNames[path]; word != "" {
			for _, e := range v {
				flattenNamed(out, word, e)
			}
			return
		}
		out[path] = newLeaf(path, v)
	default:
		out[path] = newLeaf(path, v)
	}
}

func flattenNamed(out map[string]leaf, word string, v any) {
	fields, ok := v.(map[string]any)
	if !ok {
		return
	}
	name := fmt.Sprint(fields["name"])
	delete(fields, "name")
	flatten(out, join(word, name), fields)
}

// join makes a path; resources are named by themselves, as people speak of
// them.
func join(path, key string) string {
	if path == "" || path == "resources" {
		return key
	}
	return path + "." + key
}

func newLeaf(path string, v any) leaf {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic("plan: writing JSON that was read: " + err.Error())
	}
	exact := strings.TrimSpace(b.String())
	return leaf{exact: exact, text: written(path, v, exact)}
}

// written returns a value as a person writes it: different values read
// differently.
func written(path string, v any, exact string) string {
	switch v := v.(type) {
	case string:
		quoted := strings.HasPrefix(path, "env.") || strings.HasPrefix(path, "labels.")
		if quoted || v == "" || v != strings.TrimSpace(v) || strings.ContainsAny(v, "\n\r\t") {
			return exact
		}
		return v
	case json.Number:
		if n, err := v.Int64(); err == nil && (path == "memory" || path == "shm_size") {
			return amount(n)
		}
	}
	return exact
}

// amount writes bytes in the largest unit that divides them.
func amount(n int64) string {
	unit := "B"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, larger
	}
	return fmt.Sprint(n) + unit
}

// imageText returns 12 digits of the digest, or what is known without one.
func (c *comparison) imageText(image pipeline.ReleaseImage, written pipeline.Image) string {
	short := phrase.Digest(image.Digest)
	switch {
	case short == "" && written.Target != "":
		return "to be built"
	case short == "":
		return written.Ref
	case written.Ref != "":
		return written.Ref + "@" + short
	}
	return short
}

// lacked says that some host lacks bytes of an image.
func (c *comparison) lacked(digest string) bool {
	return slices.ContainsFunc(c.in.Hosts, func(h Observed) bool { return h.Send[digest] > 0 })
}

// sendNote says how much of an image travels.
func (c *comparison) sendNote(digest string) string {
	least, most, known := pipeline.Bytes(1<<62), pipeline.Bytes(0), 0
	for _, h := range c.in.Hosts {
		if bytes, ok := h.Send[digest]; ok {
			least, most, known = min(least, bytes), max(most, bytes), known+1
		}
	}
	switch {
	case known == 0:
		return ""
	case most == 0:
		return "there already"
	case known == 1:
		return phrase.Size(int64(most)) + " to send"
	case least == most:
		return phrase.Size(int64(most)) + " to send to each host"
	}
	return fmt.Sprintf("%s to %s to send to each host", phrase.Size(int64(least)), phrase.Size(int64(most)))
}

// memoryNote names the host with the least free memory.
func (c *comparison) memoryNote() string {
	var least *Observed
	for i, h := range c.in.Hosts {
		if h.MemoryFree > 0 && (least == nil || h.MemoryFree < least.MemoryFree) {
			least = &c.in.Hosts[i]
		}
	}
	if least == nil {
		return ""
	}
	return fmt.Sprintf("%s has %s free", least.Name, least.MemoryFree)
}

// occasion says when a task runs.
func occasion(t *pipeline.Task) string {
	switch {
	case t.Hook != "":
		return t.Hook
	case t.Schedule != "":
		return strings.TrimSpace(t.Schedule + " " + cmp.Or(t.TimeZone, "UTC"))
	}
	return "by hand"
}
