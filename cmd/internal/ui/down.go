package ui

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// WhatGoes says what taking an environment down removes.
func WhatGoes(name string, seen map[string]*api.Environment, volumes bool) string {
	instances, releases := map[string]int{}, map[api.ReleaseNumber]bool{}
	var data []string
	for _, host := range sortedKeys(seen) {
		state := seen[host]
		if state.Current != nil {
			releases[state.Current.ReleaseNumber()] = true
			for _, instance := range state.Current.Placement[host] {
				service, _, isInstance := strings.Cut(instance, "/")
				if isInstance {
					instances[service]++
				}
			}
		}
		for _, number := range state.Previous {
			releases[number] = true
		}
		for _, volume := range state.Volumes {
			data = append(data, host+":"+volume)
		}
	}
	what := []string{"nothing that runs"}
	if len(instances) > 0 {
		what = nil
	}
	for _, service := range sortedKeys(instances) {
		what = append(what, fmt.Sprintf("%s (%s)", service, phrase.Count(instances[service], "instance")))
	}
	if len(releases) > 0 {
		var numbers []string
		for _, n := range slices.SortedFunc(maps.Keys(releases), func(a, b api.ReleaseNumber) int { return b.Compare(a) }) {
			numbers = append(numbers, n.String())
		}
		what = append(what, "what is kept of release "+phrase.List(numbers))
	}
	text := fmt.Sprintf("This removes %s from %s: %s.", name, phrase.List(sortedKeys(seen)), strings.Join(what, ", "))
	switch {
	case len(data) > 0 && volumes:
		text += "\nIt deletes the data of these volumes, for good: " + strings.Join(data, ", ") + "."
	case len(data) > 0:
		text += "\nThese volumes stay: " + strings.Join(data, ", ") + "."
	}
	return text
}

// WhatWent says what is true after it.
func WhatWent(env *pipeline.Environment, hosts []string, results map[string]*api.DownResult) string {
	containers, kept, deleted := 0, []string{}, []string{}
	for _, host := range sortedKeys(results) {
		r := results[host]
		containers += len(r.Containers)
		for _, v := range r.Kept {
			kept = append(kept, host+":"+v)
		}
		for _, v := range r.Volumes {
			deleted = append(deleted, host+":"+v)
		}
	}
	text := fmt.Sprintf("%s is gone from %s: %s removed.", env.Name, phrase.List(hosts), phrase.Count(containers, "container"))
	if len(kept) > 0 {
		text += " Kept volumes: " + strings.Join(kept, ", ") + "."
	}
	if len(deleted) > 0 {
		text += " Deleted volumes: " + strings.Join(deleted, ", ") + "."
	}
	return text
}
