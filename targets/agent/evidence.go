package agent

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"dray/targets/agent/journal"
	"dray/targets/api"
)

// evidence is what this host swears of a release that it confirms: an in-toto
// statement (https://github.com/in-toto/attestation, v1) in a DSSE envelope,
// signed with the host's key.
func (a *Agent) evidence(w *work, record *api.Record, healthy time.Time) (*journal.Statement, error) {
	body, err := json.Marshal(a.statement(w, record, healthy))
	if err != nil {
		return nil, fmt.Errorf("writing the evidence: %w", err)
	}
	signer, err := dsse.NewEnvelopeSigner(hostSigner{a.key})
	if err != nil {
		return nil, fmt.Errorf("signing the evidence: %w", err)
	}
	envelope, err := signer.SignPayload(context.Background(), api.EvidencePayload, body)
	if err != nil {
		return nil, fmt.Errorf("signing the evidence: %w", err)
	}
	text, err := json.Marshal(envelope)
	if err != nil {
		return nil, fmt.Errorf("writing the evidence: %w", err)
	}
	return &journal.Statement{Release: w.Release, Envelope: text}, nil
}

func (a *Agent) statement(w *work, record *api.Record, healthy time.Time) *api.Evidence {
	images := map[string]bool{}
	out := &api.Evidence{Type: api.StatementType, PredicateType: api.EvidenceType}
	for _, name := range slices.Sorted(maps.Keys(w.release.Images)) {
		image := w.release.Images[name]
		if images[image.Digest] {
			continue
		}
		images[image.Digest] = true
		out.Subject = append(out.Subject, api.EvidenceSubject{
			Name: image.Name, Digest: map[string]string{"sha256": strings.TrimPrefix(image.Digest, "sha256:")},
		})
	}
	out.Predicate = api.EvidencePredicate{
		Project: w.e.project, Environment: w.e.name, ReleaseRef: api.RefTo(w.Release), Deployment: w.ID,
		HostID: a.id, Host: w.Host, Configuration: w.release.ContentHash(), Images: w.release.Images,
		HealthySince: healthy, Confirmed: record.Ended, Verified: record.Verified,
		Approval: record.Approval, Skipped: record.Skipped,
	}
	return out
}

// hostSigner signs with the host's key, as DSSE wants it.
type hostSigner struct{ key ed25519.PrivateKey }

// Sign implements dsse.SignVerifier.
func (s hostSigner) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(s.key, data), nil
}

// Verify implements dsse.SignVerifier.
func (s hostSigner) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(s.Public().(ed25519.PublicKey), data, sig) {
		return fmt.Errorf("the signature is not this host's")
	}
	return nil
}

// KeyID implements dsse.SignVerifier: the SHA-256 of the public key, in hex.
func (s hostSigner) KeyID() (string, error) {
	return api.KeyID(s.Public().(ed25519.PublicKey)), nil
}

// Public implements dsse.SignVerifier.
func (s hostSigner) Public() crypto.PublicKey { return s.key.Public() }
