package strategy

import "dray/pipeline"

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
	for _, v := range s.Volumes {
		if v.Source == "" && !v.ReadOnly {
			return pipeline.StrategyRecreate, "volume " + v.Name + " has one writer at a time"
		}
	}
	return configured, ""
}
