package agent

import (
	"slices"
	"strconv"

	"dray/pipeline"
	"dray/targets/api"
)

// mostRevisions bounds what one request can make the state grow by.
const mostRevisions = 10000

// addContent notes what comes to this host under a release's name, also where
// it does not stay: a name is given to one content only, and the same content
// may be tried again under the same one.
func (t *transaction) addContent(r *envRecord, release *api.Release) error {
	key := contentsKey(r.Project, r.Name, release.Number)
	var contents []string
	if _, err := t.get(bucketContents, key, &contents); err != nil {
		return err
	}
	for len(contents) <= release.Revision {
		contents = append(contents, "")
	}
	contents[release.Revision] = release.ContentHash()
	return t.put(bucketContents, key, contents)
}

func contentsKey(project, environment string, number int) string {
	return envKey(project, environment) + "/" + strconv.Itoa(number)
}

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
	err = a.db.view(func(t *transaction) error {
		_, err := t.get(bucketContents, contentsKey(e.project, e.name, n.Number), &contents)
		return err
	})
	return contents, err
}

// isSame refuses a release whose name this host keeps for another content:
// what is kept under a name must stay what it was, or nobody could go back to
// it.
func (t *transaction) isSame(r *envRecord, release *api.Release) error {
	for _, id := range slices.Concat([]string{r.Current}, r.Stable) {
		kept, err := t.release(id)
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
