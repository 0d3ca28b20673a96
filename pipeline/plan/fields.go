package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dray/pipeline"
)

// compareFields compares two services or tasks field by field, by their JSON
// form: a field that is added to them some day is compared from that day on.
// The image is left out; its digest decides.
func compareFields(have, want any) []Field {
	before, after := flat(have), flat(want)
	var out []Field
	for _, name := range union(before, after) {
		if before[name] != after[name] {
			out = append(out, Field{Name: name, Old: before[name], New: after[name]})
		}
	}
	return out
}

// flat returns the leaves of a value's JSON form as text, by their path.
func flat(v any) map[string]string {
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
	out := map[string]string{}
	flatten(out, "", tree)
	return out
}

// listNames are the words of the file for lists whose elements have names.
var listNames = map[string]string{"ports": "port", "volumes": "volume", "secrets": "secret"}

func flatten(out map[string]string, path string, v any) {
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
		out[path] = leaf(path, v)
	default:
		out[path] = leaf(path, v)
	}
}

func flattenNamed(out map[string]string, word string, v any) {
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

// leaf returns a value as a person writes it.
func leaf(path string, v any) string {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(path, "env.") || strings.HasPrefix(path, "labels.") {
			return fmt.Sprintf("%q", v)
		}
		return v
	case json.Number:
		if n, err := v.Int64(); err == nil && path == "memory" {
			return pipeline.Bytes(n).String()
		}
		return v.String()
	case bool:
		return fmt.Sprint(v)
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic("plan: writing JSON that was read: " + err.Error())
	}
	return strings.TrimSpace(b.String())
}

// imageText returns 12 digits of the digest, or what is known without one.
func (c *comparison) imageText(image pipeline.ReleaseImage, written pipeline.Image) string {
	_, hex, ok := strings.Cut(image.Digest, ":")
	short := hex[:min(12, len(hex))]
	switch {
	case !ok && written.Target != "":
		return "to be built"
	case !ok:
		return written.Ref
	case written.Ref != "":
		return written.Ref + "@" + short
	}
	return short
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
		return decimal(most) + " to send"
	case least == most:
		return decimal(most) + " to send to each host"
	}
	return fmt.Sprintf("%s to %s to send to each host", decimal(least), decimal(most))
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

// decimal returns an amount as transfers are counted.
func decimal(b pipeline.Bytes) string {
	switch {
	case b < 1000:
		return fmt.Sprintf("%d B", b)
	case b < 1e6:
		return fmt.Sprintf("%d kB", (b+500)/1000)
	case b < 1e9:
		return fmt.Sprintf("%.1f MB", float64(b)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(b)/1e9)
}
