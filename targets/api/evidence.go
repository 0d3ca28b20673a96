package api

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Types of the evidence that a host signs when it confirms a release: a DSSE
// envelope (https://github.com/secure-systems-lab/dsse) around an in-toto
// statement (https://github.com/in-toto/attestation/blob/main/spec/v1).
const (
	EvidencePayload = "application/vnd.in-toto+json"
	StatementType   = "https://in-toto.io/Statement/v1"
	EvidenceType    = "https://dray.dev/evidence/v2"
	// EvidenceTypeV1 is what hosts signed before: every image of the release, also
	// those that another host ran, and the checks of the deployer as their own word.
	EvidenceTypeV1 = "https://dray.dev/evidence/v1"
)

// Evidence is the statement: its subjects are the images of what the release
// has on this host.
type Evidence struct {
	Type          string            `json:"_type"`
	Subject       []EvidenceSubject `json:"subject"`
	PredicateType string            `json:"predicateType"`
	Predicate     EvidencePredicate `json:"predicate"`
}

// EvidenceSubject is one image.
type EvidenceSubject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"` // "sha256" → hex
}

// EvidencePredicate is what the host saw, and, set apart from it, what it was
// told.
type EvidencePredicate struct {
	Project     string `json:"project"`
	Environment string `json:"environment"`
	ReleaseRef
	Deployment    string             `json:"deployment"`
	HostID        string             `json:"host_id"`
	Host          string             `json:"host"`          // its name in the file
	Configuration string             `json:"configuration"` // the release's ContentHash
	Images        map[string]Image   `json:"images"`        // of what is here, by service or "task.NAME"; in v1 of the whole release
	Instances     []EvidenceInstance `json:"instances,omitempty"`
	HealthySince  time.Time          `json:"healthy_since,omitzero"` // of the last instance; zero on a host that has none
	Confirmed     time.Time          `json:"confirmed"`
	Reported      *Report            `json:"reported,omitempty"` // nil in v1
	Verified      []VerifyResult     `json:"verified,omitempty"` // v1
	Approval      *Approval          `json:"approval,omitempty"` // with what the host saw of who gave it
	Skipped       []string           `json:"skipped,omitempty"`  // v1
}

// EvidenceInstance is one instance that the host ran.
type EvidenceInstance struct {
	Instance     string    `json:"instance"`
	Image        string    `json:"image"` // digest
	HealthySince time.Time `json:"healthy_since"`
}

// Report is what the one who deployed said: the host vouches for who said it,
// not for that it is so.
type Report struct {
	By       Actor          `json:"by"`
	Verified []VerifyResult `json:"verified,omitempty"` // checks that ran on the client's machine
	Skipped  []string       `json:"skipped,omitempty"`  // hosts left out
}

// Checks are the results of verify blocks that the statement names.
func (p *EvidencePredicate) Checks() []VerifyResult {
	if p.Reported == nil {
		return p.Verified
	}
	return p.Reported.Verified
}

// Since is from when on the release was what the host says: healthy, or, where
// it has no instance, confirmed.
func (p *EvidencePredicate) Since() time.Time {
	if p.HealthySince.IsZero() {
		return p.Confirmed
	}
	return p.HealthySince
}

// KeyID names a host's public key in an envelope: the SHA-256 of its 32 bytes,
// in hex.
func KeyID(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:])
}
