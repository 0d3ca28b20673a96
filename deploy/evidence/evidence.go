// Package evidence checks what hosts swear: that an image ran, healthy, in an
// environment. A statement counts only when the key that dray.lock.hcl has for
// that host signed it; the machine that runs dray is not trusted, nor is
// whoever handed the statement over.
//
// Agents make statements (targets/agent); this is the reading side.
package evidence

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"dray/pipeline"
	"dray/targets/api"
)

// Want is what a statement must say.
type Want struct {
	Project     string
	Environment string
	Host        string            // its name in the file
	Release     *pipeline.Release // its number, and the images that the host has of it
}

// Check verifies a DSSE envelope (https://github.com/secure-systems-lab/dsse,
// v1) with the host's public key, 32 bytes of ed25519, and compares the
// in-toto statement in it with what is wanted. The error says in words what is
// wrong, beginning behind the host's name: "its signature is …".
func Check(envelope, key []byte, want Want) (*api.EvidencePredicate, error) {
	if len(key) != ed25519.PublicKeySize {
		return nil, errors.New("its key is not known")
	}
	var signed dsse.Envelope
	if err := json.Unmarshal(envelope, &signed); err != nil {
		return nil, fmt.Errorf("its statement can't be read: %w", err)
	}
	verifier, err := dsse.NewEnvelopeVerifier(hostKey(key))
	if err != nil {
		return nil, fmt.Errorf("its statement can't be checked: %w", err)
	}
	if _, err := verifier.Verify(context.Background(), &signed); err != nil {
		return nil, errors.New("its statement is not signed with the key in dray.lock.hcl")
	}
	if signed.PayloadType != api.EvidencePayload {
		return nil, fmt.Errorf("its statement is of type %q", signed.PayloadType)
	}
	payload, err := signed.DecodeB64Payload()
	if err != nil {
		return nil, fmt.Errorf("its statement can't be read: %w", err)
	}
	var statement api.Evidence
	if err := json.Unmarshal(payload, &statement); err != nil {
		return nil, fmt.Errorf("its statement can't be read: %w", err)
	}
	if err := compare(&statement, want); err != nil {
		return nil, err
	}
	return &statement.Predicate, nil
}

func compare(s *api.Evidence, want Want) error {
	p := &s.Predicate
	switch {
	case s.Type != api.StatementType || s.PredicateType != api.EvidenceType && s.PredicateType != api.EvidenceTypeV1:
		return fmt.Errorf("its statement is a %s about %s", s.Type, s.PredicateType)
	case p.Project != want.Project:
		return fmt.Errorf("its statement is about project %s", p.Project)
	case p.Environment != want.Environment:
		return fmt.Errorf("its statement is about environment %s", p.Environment)
	case p.Host != want.Host:
		return fmt.Errorf("its statement is host %s's", p.Host)
	case p.ReleaseNumber() != want.Release.ReleaseNumber():
		return fmt.Errorf("its statement is about release %s", p.ReleaseNumber())
	}
	for _, name := range needed(s, want) {
		image := want.Release.Images[name]
		if p.Images[name].Digest != image.Digest {
			return fmt.Errorf("its statement is about another image of %s (%s)", name, p.Images[name].Digest)
		}
		if !names(s.Subject, image.Digest) {
			return fmt.Errorf("its statement does not have %s as a subject", image.Digest)
		}
	}
	if s.PredicateType == api.EvidenceType {
		if err := ran(p, want); err != nil {
			return err
		}
	}
	for _, v := range p.Checks() {
		if !v.Passed {
			return fmt.Errorf("verify %s did not pass there", v.Name)
		}
	}
	return nil
}

// needed are the images that the statement must name: those of what the release
// has on the host; older agents signed all of the release.
func needed(s *api.Evidence, want Want) []string {
	if s.PredicateType == api.EvidenceTypeV1 {
		return slices.Sorted(maps.Keys(want.Release.Images))
	}
	return want.Release.PlacedOn(want.Host)
}

// ran fails unless the host says of each of its instances that it ran.
func ran(p *api.EvidencePredicate, want Want) error {
	for _, instance := range want.Release.InstancesOn(want.Host) {
		service, _, _ := strings.Cut(instance, "/")
		digest := want.Release.Images[service].Digest
		if !slices.ContainsFunc(p.Instances, func(i api.EvidenceInstance) bool { return i.Instance == instance && i.Image == digest }) {
			return fmt.Errorf("its statement does not say that %s ran %s", instance, digest)
		}
	}
	return nil
}

func names(subjects []api.EvidenceSubject, digest string) bool {
	for _, s := range subjects {
		if s.Digest["sha256"] == strings.TrimPrefix(digest, "sha256:") {
			return true
		}
	}
	return false
}

// hostKey verifies as DSSE wants it.
type hostKey ed25519.PublicKey

// Verify implements dsse.Verifier.
func (k hostKey) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(ed25519.PublicKey(k), data, sig) {
		return errors.New("the signature is another key's")
	}
	return nil
}

// KeyID implements dsse.Verifier.
func (k hostKey) KeyID() (string, error) { return api.KeyID(k), nil }

// Public implements dsse.Verifier.
func (k hostKey) Public() crypto.PublicKey { return ed25519.PublicKey(k) }
