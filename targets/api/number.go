package api

import "dray/pipeline"

// ReleaseRef is the release in the JSON of what speaks of one.
type ReleaseRef struct {
	Release  int `json:"release"` // 0: of none
	Revision int `json:"revision,omitempty"`
}

// RefTo names a release.
func RefTo(n pipeline.ReleaseNumber) ReleaseRef {
	return ReleaseRef{Release: n.Number, Revision: n.Revision}
}

// ReleaseNumber is the release that is meant.
func (r ReleaseRef) ReleaseNumber() pipeline.ReleaseNumber {
	return pipeline.ReleaseNumber{Number: r.Release, Revision: r.Revision}
}

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
