package agent

import (
	"slices"

	"dray/pipeline"
	"dray/targets/agent/journal"
	"dray/targets/api"
)

// mostRevisions bounds what one request can make the state grow by.
const mostRevisions = 10000

// revisions returns the contents that came to this host under a number.
func (a *Agent) revisions(e *environment, number string) ([]string, error) {
	n, exact, err := parseNumber(number)
	if err == nil && exact {
		err = api.Errorf(api.CodeBadRequest, "%q is a revision, not the number of releases", number)
	}
	if err != nil {
		return nil, err
	}
	contents := []string{}
	err = a.journal.View(func(t *journal.Tx) error {
		came, err := t.Contents(e.key(), n.Number)
		contents = append(contents, came...)
		return err
	})
	return contents, err
}

// isSame refuses a release whose name this host keeps for another content:
// what is kept under a name must stay what it was, or nobody could go back to
// it.
func isSame(t *journal.Tx, r *journal.Environment, release *api.Release) error {
	for _, id := range slices.Concat([]string{r.Current}, r.Stable) {
		kept, err := t.Release(id)
		if err != nil {
			return err
		}
		if kept != nil && kept.ReleaseNumber() == release.ReleaseNumber() && kept.ContentHash() != release.ContentHash() {
			return api.Errorf(api.CodeConflict, "%s of %s is another one on this host: its images, configuration, secrets or places differ; bring this as a new release", releaseWord(kept.ReleaseNumber()), r.Name)
		}
	}
	return nil
}

// parseNumber reads the name of a release that a caller gave.
func parseNumber(text string) (n api.ReleaseNumber, exact bool, err error) {
	if n, exact, err = pipeline.ParseReleaseNumber(text); err != nil {
		err = api.Errorf(api.CodeBadRequest, "%v", err)
	}
	return n, exact, err
}
