package engineapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// filters is the query's "filters": a JSON object of names to values. Clients
// send the values as a list, or as an object of value to true.
type filters map[string][]string

// parseFilters reads filters and refuses names that the call does not have.
func parseFilters(text string, allowed ...string) (filters, error) {
	if text == "" {
		return nil, nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fault(http.StatusBadRequest, "invalid filter: %v", err)
	}
	f := filters{}
	for name, values := range raw {
		if !slices.Contains(allowed, name) {
			return nil, fault(http.StatusBadRequest, "invalid filter '%s'", name)
		}
		var list []string
		var set map[string]bool
		if json.Unmarshal(values, &list) != nil {
			if err := json.Unmarshal(values, &set); err != nil {
				return nil, fault(http.StatusBadRequest, "invalid filter '%s': %v", name, err)
			}
			for v, on := range set {
				if on {
					list = append(list, v)
				}
			}
		}
		f[name] = list
	}
	return f, nil
}

// any says whether one of the values of a name matches; a name without values
// matches everything.
func (f filters) any(name string, match func(value string) bool) bool {
	return len(f[name]) == 0 || slices.ContainsFunc(f[name], match)
}

// is is any with equality.
func (f filters) is(name, value string) bool {
	return f.any(name, func(v string) bool { return v == value })
}

// labels says whether the labels have all that are asked for: "key" or
// "key=value".
func (f filters) labels(labels map[string]string) bool {
	for _, want := range f["label"] {
		key, value, exact := strings.Cut(want, "=")
		has, ok := labels[key]
		if !ok || exact && has != value {
			return false
		}
	}
	return true
}
