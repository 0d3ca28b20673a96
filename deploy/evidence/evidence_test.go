package evidence

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"dray/pipeline"
	"dray/targets/api"
)

type signer struct {
	hostKey
	private ed25519.PrivateKey
}

func (s signer) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(s.private, data), nil
}

func sign(t testing.TB, private ed25519.PrivateKey, payloadType string, statement any) []byte {
	t.Helper()
	body, err := json.Marshal(statement)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dsse.NewEnvelopeSigner(signer{hostKey(private.Public().(ed25519.PublicKey)), private})
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := s.SignPayload(context.Background(), payloadType, body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(envelope)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func honest() api.Evidence {
	return api.Evidence{
		Type: api.StatementType, PredicateType: api.EvidenceType,
		Subject: []api.EvidenceSubject{{Name: "shop/web", Digest: map[string]string{"sha256": "aaaa"}}},
		Predicate: api.EvidencePredicate{
			Project: "shop", Environment: "test", ReleaseRef: api.ReleaseRef{Release: 42}, Host: "t1",
			Images:    map[string]api.Image{"web": {Digest: "sha256:aaaa"}},
			Instances: []api.EvidenceInstance{{Instance: "web/1", Image: "sha256:aaaa"}},
			Reported:  &api.Report{Verified: []api.VerifyResult{{Name: "smoke", Passed: true}}},
		},
	}
}

// older makes a statement one of an agent that signed whole releases.
func older(s *api.Evidence) {
	s.PredicateType = api.EvidenceTypeV1
	s.Predicate.Instances, s.Predicate.Reported = nil, nil
	s.Predicate.Verified = []api.VerifyResult{{Name: "smoke", Passed: true}}
}

func TestCheck(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Want{Project: "shop", Environment: "test", Host: "t1", Release: &pipeline.Release{
		Number: 42, Images: map[string]pipeline.ReleaseImage{"web": {Digest: "sha256:aaaa"}, "db": {Digest: "sha256:dddd"}},
		Placement: map[string][]string{"t1": {"web/1"}, "t2": {"db/1"}},
	}}
	change := func(f func(*api.Evidence)) []byte {
		s := honest()
		f(&s)
		return sign(t, private, api.EvidencePayload, s)
	}
	good := change(func(*api.Evidence) {})
	tests := []struct {
		name     string
		envelope []byte
		key      []byte
		says     string
	}{
		{"holds", good, public, ""},
		{"signed by a stranger", sign(t, stranger, api.EvidencePayload, honest()), public, "not signed with the key"},
		{"no key is known", good, nil, "key is not known"},
		{"changed after signing", []byte(strings.Replace(string(good), `"payload":"`, `"payload":"AAAA`, 1)), public, "not signed"},
		{"of another type", sign(t, private, "text/plain", honest()), public, "of type"},
		{"no envelope", []byte("{"), public, "can't be read"},
		{"for another environment", change(func(s *api.Evidence) { s.Predicate.Environment = "dev" }), public, "environment dev"},
		{"for another project", change(func(s *api.Evidence) { s.Predicate.Project = "blog" }), public, "project blog"},
		{"another host's", change(func(s *api.Evidence) { s.Predicate.Host = "t2" }), public, "t2's"},
		{"of another release", change(func(s *api.Evidence) { s.Predicate.Release = 41 }), public, "release 41"},
		{"of another revision", change(func(s *api.Evidence) { s.Predicate.Revision = 1 }), public, "release 42.1"},
		{"of another image", change(func(s *api.Evidence) { s.Predicate.Images["web"] = api.Image{Digest: "sha256:bbbb"} }), public, "another image of web"},
		{"with another subject", change(func(s *api.Evidence) { s.Subject[0].Digest["sha256"] = "bbbb" }), public, "as a subject"},
		{"verify had failed", change(func(s *api.Evidence) { s.Predicate.Reported.Verified[0].Passed = false }), public, "smoke did not pass"},
		{"nothing said of an instance", change(func(s *api.Evidence) { s.Predicate.Instances = nil }), public, "does not say that web/1 ran sha256:aaaa"},
		{"an instance ran another image", change(func(s *api.Evidence) { s.Predicate.Instances[0].Image = "sha256:bbbb" }), public, "does not say that web/1 ran"},
		{"of an older agent, without what another host has", change(older), public, "another image of db"},
		{"of an older agent", change(func(s *api.Evidence) {
			older(s)
			s.Predicate.Images["db"] = api.Image{Digest: "sha256:dddd"}
			s.Subject = append(s.Subject, api.EvidenceSubject{Digest: map[string]string{"sha256": "dddd"}})
		}), public, ""},
		{"of an older agent, verify had failed", change(func(s *api.Evidence) {
			older(s)
			s.Predicate.Images["db"] = api.Image{Digest: "sha256:dddd"}
			s.Subject = append(s.Subject, api.EvidenceSubject{Digest: map[string]string{"sha256": "dddd"}})
			s.Predicate.Verified[0].Passed = false
		}), public, "smoke did not pass"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Check(test.envelope, test.key, want)
			switch {
			case test.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sign(f, private, api.EvidencePayload, honest()))
	f.Add([]byte(`{"payload":"","signatures":[]}`))
	want := Want{Release: &pipeline.Release{Number: 1, Images: map[string]pipeline.ReleaseImage{"web": {Digest: "sha256:cccc"}}}}
	f.Fuzz(func(t *testing.T, envelope []byte) {
		if p, err := Check(envelope, public, want); err == nil {
			t.Errorf("%q passed as %+v", envelope, p)
		}
	})
}
