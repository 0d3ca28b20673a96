package environment

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// Hindrances says what a promotion still lacks, as far as what was read tells:
// " (nobody has approved it; prod is locked)", or "".
func Hindrances(gate *pipeline.Promotion, from, to *Status) string {
	var reasons []string
	if age := time.Since(from.Since); !from.Since.IsZero() && age < gate.MinAge.D() {
		reasons = append(reasons, fmt.Sprintf("it has run in %s for %s of %s", from.Environment, phrase.Age(from.Since), gate.MinAge))
	}
	asked, approved, locked := false, false, false
	for _, h := range to.Hosts {
		if h.State != nil {
			asked = true
			locked = locked || h.State.Freeze != nil
			approved = approved || slices.ContainsFunc(h.State.Approvals, func(a api.Approval) bool { return a.Release == from.Release })
		}
	}
	if gate.Approve && asked && !approved {
		reasons = append(reasons, "nobody has approved it")
	}
	if locked {
		reasons = append(reasons, to.Environment+" is locked")
	}
	if len(reasons) == 0 {
		return ""
	}
	return " (" + strings.Join(reasons, "; ") + ")"
}
