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
	EvidenceType    = "https://dray.dev/evidence/v1"
)

// Evidence is the statement: its subjects are the images of the release.
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

// EvidencePredicate is what the host saw.
type EvidencePredicate struct {
	Project     string `json:"project"`
	Environment string `json:"environment"`
	ReleaseRef
	Deployment    string           `json:"deployment"`
	HostID        string           `json:"host_id"`
	Host          string           `json:"host"`          // its name in the file
	Configuration string           `json:"configuration"` // the release's ContentHash
	Images        map[string]Image `json:"images"`        // by service or "task.NAME"
	HealthySince  time.Time        `json:"healthy_since"` // of the last instance
	Confirmed     time.Time        `json:"confirmed"`
	Verified      []VerifyResult   `json:"verified,omitempty"`
	Approval      *Approval        `json:"approval,omitempty"`
	Skipped       []string         `json:"skipped,omitempty"`
}

// KeyID names a host's public key in an envelope: the SHA-256 of its 32 bytes,
// in hex.
func KeyID(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:])
}
