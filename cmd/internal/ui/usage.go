package ui

import (
	"fmt"
	"io"
	"strconv"

	"dray/deploy/environment"
	"dray/pipeline/phrase"
)

// PrintUsages lists what containers use.
func PrintUsages(w io.Writer, usages []environment.Usage) error {
	t := Table{Header: []string{"HOST", "INSTANCE", "CPU", "MEMORY", "LIMIT", "PIDS", "RECEIVED", "SENT"}, Spare: []string{"SENT", "RECEIVED", "PIDS"}}
	for _, u := range usages {
		limit := "-"
		if u.Limit > 0 && u.Limit < 1<<50 {
			limit = phrase.Size(int64(u.Limit))
		}
		t.Add(u.Host, u.Instance, fmt.Sprintf("%.1f%%", u.CPU), phrase.Size(int64(u.Memory)), limit, strconv.Itoa(int(u.Pids)),
			phrase.Size(int64(u.Received)), phrase.Size(int64(u.Sent)))
	}
	return t.Print(w)
}
