package journal

import (
	"encoding/json"
	"strconv"
	"time"

	"dray/targets/api"
)

// Statement is a signed statement about a release.
type Statement struct {
	Release  api.ReleaseNumber `json:"release"`
	At       time.Time         `json:"at,omitzero"` // zero where an older agent signed it
	Envelope json.RawMessage   `json:"envelope"`    // DSSE
}

// AddRecord appends a line to an environment's history, and forgets of its past
// what is beyond the bounds; see prune.go.
func (t *Tx) AddRecord(e *Environment, line api.Record) error {
	if err := t.add(bucketHistory, e.Key(), line); err != nil {
		return err
	}
	_ = t.prunePast(e) // a record that can't be read stays, and keeps nothing from going on
	return nil
}

// EachRecord calls visit for every line of an environment's history, oldest
// first.
func (t *Tx) EachRecord(environment string, visit func(r api.Record) error) error {
	return eachOf(t, bucketHistory, environment+"/", func(_ string, r api.Record) error { return visit(r) })
}

// PutStatement keeps what is sworn of a deployment's release.
func (t *Tx) PutStatement(environment, deployment string, s *Statement) error {
	return t.put(bucketEvidence, environment+"/"+deployment, s)
}

// EachStatement calls visit for every statement about an environment's releases.
func (t *Tx) EachStatement(environment string, visit func(s Statement) error) error {
	return eachOf(t, bucketEvidence, environment+"/", func(_ string, s Statement) error { return visit(s) })
}

// Contents returns the contents that came to this host under a release's
// number, by revision; "" for a revision that did not come.
func (t *Tx) Contents(environment string, number int) (contents []string, err error) {
	_, err = t.get(bucketContents, contentsKey(environment, number), &contents)
	return contents, err
}

// AddContent notes what comes to this host under a release's name, also where
// it does not stay: a name is given to one content only, and the same content
// may be tried again under the same one.
func (t *Tx) AddContent(environment string, release *api.Release) error {
	contents, err := t.Contents(environment, release.Number)
	if err != nil {
		return err
	}
	for len(contents) <= release.Revision {
		contents = append(contents, "")
	}
	contents[release.Revision] = release.ContentHash()
	return t.put(bucketContents, contentsKey(environment, release.Number), contents)
}

func contentsKey(environment string, number int) string {
	return environment + "/" + strconv.Itoa(number)
}

// HostID returns the host's name; "" before it has one.
func (t *Tx) HostID() (id string, err error) {
	_, err = t.get(bucketHost, "id", &id)
	return id, err
}

// PutHostID keeps the host's name.
func (t *Tx) PutHostID(id string) error { return t.put(bucketHost, "id", id) }
