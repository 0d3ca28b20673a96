package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// historyLine is one deployment, with the hosts that tell of it.
type historyLine struct {
	api.Record
	Hosts []string `json:"hosts"`
}

func historyCommand(a *app) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "history ENV",
		Short: "Who brought what to an environment, when, and how it ended",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				answers, missed, err := ask(cmd.Context(), p, env, func(ctx context.Context, h *deploy.Host) ([]api.Record, error) {
					return h.Client.Environment(p.project.Name, env.Name).History(ctx, limit)
				})
				if err != nil {
					return err
				}
				var lines []historyLine
				for _, told := range answers {
					lines = mergeHistory(lines, told.Host.Name, told.Value)
				}
				defer a.tellSilent(env, missed)
				return results(a, lines, func(w io.Writer) error { return printHistory(w, lines) })
			})
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "newest deployments to show")
	return cmd
}

// mergeHistory joins the records of one deployment from several hosts that
// tell the same.
func mergeHistory(lines []historyLine, host string, records []api.Record) []historyLine {
	for _, r := range records {
		i := slices.IndexFunc(lines, func(l historyLine) bool {
			return l.Deployment == r.Deployment && l.Result == r.Result
		})
		if i >= 0 {
			lines[i].Hosts = append(lines[i].Hosts, host)
			continue
		}
		lines = append(lines, historyLine{Record: r, Hosts: []string{host}})
	}
	slices.SortStableFunc(lines, func(a, b historyLine) int { return b.Started.Compare(a.Started) })
	return lines
}

func printHistory(w io.Writer, lines []historyLine) error { return historyTable(lines).Print(w) }

func historyTable(lines []historyLine) *ui.Table {
	t := &ui.Table{
		Header: []string{"WHEN", "RELEASE", "WHAT", "RESULT", "TOOK", "WHO", "HOSTS", "SOURCE", "NOTE"},
		Spare:  []string{"SOURCE", "TOOK", "HOSTS", "WHO"},
		Note:   "NOTE",
	}
	for _, l := range lines {
		release, from := l.ReleaseNumber().String(), l.FromNumber()
		if l.Release == 0 {
			release = "-"
		}
		if from.Known() && from != l.ReleaseNumber() {
			release = from.String() + " → " + release
		}
		t.Add(l.Started.Local().Format(time.DateTime), release, l.Kind, l.Result, phrase.Seconds(l.Ended.Sub(l.Started).Seconds()),
			l.Actor.User+"@"+l.Actor.Machine, strings.Join(l.Hosts, ","), sourceNote(l.Source), historyNote(l.Record))
	}
	return t
}

func sourceNote(s pipeline.Source) string {
	text := s.Commit[:min(7, len(s.Commit))]
	if s.Dirty {
		text += "+"
	}
	return text
}

func historyNote(r api.Record) string {
	note := r.Reason
	if r.Approval != nil {
		note = phrase.Words(note, "approved by "+r.Approval.By.User)
	}
	if len(r.Skipped) > 0 {
		note = phrase.Words(note, "without "+strings.Join(r.Skipped, ", "))
	}
	return note
}
