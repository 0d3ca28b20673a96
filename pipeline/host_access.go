package pipeline

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// contained are the words of services and tasks that stay in the container. One
// that is not here reaches the host until somebody has thought about it.
var contained = []string{
	"name", "image", "mode", "count", "entrypoint", "command", "workdir", "user", "env", "labels", "secrets", "ports",
	"tmpfs", "shm_size", "read_only", "cap_drop", "init", "resources", "check", "update", "restart", "stop",
	"hook", "schedule", "time_zone", "overlap", "timeout",
}

// HostAccess lists what of the release reaches out of its containers to the host:
// a directory of it as a volume, a capability, the cloud's credentials. Sorted.
func (r *Release) HostAccess() []string {
	var out []string
	for i := range r.Services {
		out = append(out, reaches("service "+r.Services[i].Name, r.Services[i], r.Services[i].Volumes)...)
	}
	for i := range r.Tasks {
		out = append(out, reaches("task "+r.Tasks[i].Name, r.Tasks[i], r.Tasks[i].Volumes)...)
	}
	slices.Sort(out)
	return out
}

// reaches lists what of one service or task is not contained.
func reaches(who string, spec any, volumes []Volume) (out []string) {
	for _, v := range volumes {
		if v.Source != "" {
			out = append(out, fmt.Sprintf("%s has %s of the host", who, v.Source))
		}
	}
	text, err := json.Marshal(spec)
	words := map[string]json.RawMessage{}
	if err == nil {
		err = json.Unmarshal(text, &words)
	}
	if err != nil {
		return append(out, who+" can't be judged") // it came as JSON, so it is never so
	}
	for _, word := range slices.Sorted(maps.Keys(words)) {
		if word != "volumes" && !slices.Contains(contained, word) {
			out = append(out, fmt.Sprintf("%s has %s = %s", who, word, words[word]))
		}
	}
	return out
}
