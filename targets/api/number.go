package api

import "dray/pipeline"

// RefTo names a release.
func RefTo(n pipeline.ReleaseNumber) ReleaseRef { return pipeline.RefTo(n) }

// FromRef is the release before, in the JSON of what replaces it.
type FromRef struct {
	From         int `json:"from"` // 0: there was none
	FromRevision int `json:"from_revision,omitempty"`
}

// RefFrom names the release before.
func RefFrom(n pipeline.ReleaseNumber) FromRef {
	return FromRef{From: n.Number, FromRevision: n.Revision}
}

// FromNumber is the release before.
func (r FromRef) FromNumber() pipeline.ReleaseNumber {
	return pipeline.ReleaseNumber{Number: r.From, Revision: r.FromRevision}
}
