package ui

import (
	"fmt"
	"slices"
	"strings"

	"dray/pipeline/phrase"
	"dray/targets/api"
)

// WhatGoesBack says what taking a held release back changes.
func WhatGoesBack(held *api.Deployment, seen map[string]*api.Environment) string {
	var hosts, serving []string
	for _, host := range sortedKeys(seen) {
		if d := seen[host].Deployment; d == nil || d.ID != held.ID {
			continue
		}
		hosts = append(hosts, host)
		for _, i := range seen[host].Instances {
			if i.Serving && i.ReleaseNumber() == held.ReleaseNumber() {
				serving = append(serving, i.Instance+" on "+host)
			}
		}
	}
	slices.Sort(serving)
	text := fmt.Sprintf("This goes back from release %s, which failed and is held on %s, to %s: its containers are removed.",
		held.ReleaseNumber(), phrase.List(hosts), held.FromNumber().Name())
	if len(serving) > 0 {
		text += "\nNow serves from it: " + strings.Join(serving, ", ") + "."
	}
	return text
}
