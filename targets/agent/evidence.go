package agent

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"dray/targets/agent/journal"
	"dray/targets/api"
)

// evidence is what this host swears of a release that it confirms: an in-toto
// statement (https://github.com/in-toto/attestation, v1) in a DSSE envelope,
// signed with the host's key. A host that has nothing of the release has nothing
// to swear, and gets nil.
func (a *Agent) evidence(w *work, record *api.Record, said api.Report) (*journal.Statement, error) {
	if len(w.release.PlacedOn(w.Host)) == 0 {
		return nil, nil
	}
	body, err := json.Marshal(a.statement(w, record, said))
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
	return &journal.Statement{Release: w.Release, At: record.Ended, Envelope: text}, nil
}

// statement names only what is here of the release. What the client says it did
// is told as its word.
func (a *Agent) statement(w *work, record *api.Record, said api.Report) *api.Evidence {
	images, subjects := map[string]api.Image{}, map[string]bool{}
	out := &api.Evidence{Type: api.StatementType, PredicateType: api.EvidenceType}
	for _, name := range w.release.PlacedOn(w.Host) {
		image := w.release.Images[name]
		images[name] = image
		if subjects[image.Digest] {
			continue
		}
		subjects[image.Digest] = true
		out.Subject = append(out.Subject, api.EvidenceSubject{
			Name: image.Name, Digest: map[string]string{"sha256": strings.TrimPrefix(image.Digest, "sha256:")},
		})
	}
	instances := a.ranHere(w)
	out.Predicate = api.EvidencePredicate{
		Project: w.e.project, Environment: w.e.name, ReleaseRef: api.RefTo(w.Release), Deployment: w.ID,
		HostID: a.id, Host: w.Host, Configuration: w.release.ContentHash(), Images: images,
		Instances: instances, HealthySince: lastHealthy(instances), Confirmed: record.Ended,
		Reported: &said, Approval: record.Approval,
	}
	return out
}

// ranHere are the instances that run here for the deployment, each with the
// image that its container was made of and since when it has been healthy.
// Without a check that is since it was started.
func (a *Agent) ranHere(w *work) []api.EvidenceInstance {
	var out []api.EvidenceInstance
	containers := a.containers()
	for _, p := range w.placed {
		c, here := containers[w.containerOf(p.instance)]
		if !here || !answers(c) {
			continue
		}
		since := c.Started
		if c.Spec.Check != nil {
			since = c.Health.Since
		}
		out = append(out, api.EvidenceInstance{Instance: p.instance, Image: c.Spec.Image, HealthySince: since.Round(0)})
	}
	return out
}

// lastHealthy is since when all instances have been healthy; zero for none.
func lastHealthy(instances []api.EvidenceInstance) (since time.Time) {
	for _, i := range instances {
		if i.HealthySince.After(since) {
			since = i.HealthySince
		}
	}
	return since
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
