package strategy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dray/pipeline"
)

// Effective returns the strategy that a service is updated with, and why it
// is not the configured one, if it is not: a volume that one instance writes
// to must not be open in two containers at once, so the old container stops
// before the new one starts.
func Effective(s *pipeline.Service) (name, reason string) {
	configured := s.Update.Strategy
	if configured == "" {
		configured = pipeline.StrategyRolling
	}
	if configured == pipeline.StrategyRecreate {
		return configured, ""
	}
	if v := soleWriter(s); v != "" {
		return pipeline.StrategyRecreate, "volume " + v + " has one writer at a time"
	}
	return configured, ""
}

// soleWriter names the first volume that only one container may write to at a
// time, "" for none.
func soleWriter(s *pipeline.Service) string {
	for _, v := range s.Volumes {
		if v.Source == "" && !v.ReadOnly && !v.Shared {
			return v.Name
		}
	}
	return ""
}

// Writers says which volumes several instances of one host would write to at
// once although they are not shared: one sentence each, in the order of the
// services and hosts.
func Writers(services []pipeline.Service, placement map[string][]string) []string {
	var out []string
	for i := range services {
		s := &services[i]
		v := soleWriter(s)
		if v == "" {
			continue
		}
		for _, host := range slices.Sorted(maps.Keys(placement)) {
			count := 0
			for _, instance := range placement[host] {
				if service, _, _ := strings.Cut(instance, "/"); service == s.Name {
					count++
				}
			}
			if count > 1 {
				out = append(out, fmt.Sprintf("%d instances of %s on %s write to volume %s at once; if they can, say so: shared = true", count, s.Name, host, v))
			}
		}
	}
	return out
}
