package environment

import (
	"context"
	"slices"

	"dray/deploy"
	"dray/pipeline"
	"dray/targets/api"
)

// HistoryLine is one deployment, with the hosts that tell of it.
type HistoryLine struct {
	api.Record
	Hosts []string `json:"hosts"`
}

// History reads the newest deployments of an environment, newest first.
func (o *Opener) History(ctx context.Context, env *pipeline.Environment, limit int) ([]HistoryLine, Silent, error) {
	answers, missed, err := Ask(ctx, o, env, func(ctx context.Context, h *deploy.Host) ([]api.Record, error) {
		return h.Client.Environment(o.Project.Name, env.Name).History(ctx, limit)
	})
	var lines []HistoryLine
	for _, told := range answers {
		lines = mergeHistory(lines, told.Host.Name, told.Value)
	}
	return newestDeployments(lines, limit), missed, err
}

// newestDeployments keeps the lines of the newest deployments. Every host tells as
// many, and together they tell more where hosts came and went.
func newestDeployments(lines []HistoryLine, limit int) []HistoryLine {
	seen := map[string]bool{}
	for i, l := range lines {
		seen[l.Deployment] = true
		if limit > 0 && len(seen) > limit {
			return lines[:i]
		}
	}
	return lines
}

// mergeHistory joins the records of one deployment from several hosts that
// tell the same.
func mergeHistory(lines []HistoryLine, host string, records []api.Record) []HistoryLine {
	for _, r := range records {
		i := slices.IndexFunc(lines, func(l HistoryLine) bool {
			return l.Deployment == r.Deployment && l.Result == r.Result
		})
		if i >= 0 {
			lines[i].Hosts = append(lines[i].Hosts, host)
			continue
		}
		lines = append(lines, HistoryLine{Record: r, Hosts: []string{host}})
	}
	slices.SortStableFunc(lines, func(a, b HistoryLine) int { return b.Started.Compare(a.Started) })
	return lines
}
