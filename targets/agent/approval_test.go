package agent

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"dray/pipeline"
	"dray/targets/agent/access"
	"dray/targets/api"
)

// TestApprovalsAreTheirGivers: what a deployer hands in as an approval is taken for
// what the host knows of it, never for another's.
func TestApprovalsAreTheirGivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		defer r.stop()
		e, err := r.agent.environment("shop", "prod")
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		defer func() { _, _ = near.Close(), far.Close() }()
		admin := access.Connection(t.Context(), near)
		ci := api.Actor{User: "ci", Machine: "ci-7", Identity: api.Identity{Account: "deploy", Key: "SHA256:ci"}}
		tom := api.Actor{User: "tom", Machine: "laptop", Identity: api.Identity{Account: "deploy", Key: "SHA256:tom"}}
		claim := func(by api.Actor, content string) *api.Approval {
			return &api.Approval{ReleaseRef: api.ReleaseRef{Release: 1}, Content: content, By: by}
		}
		if _, err := r.agent.approvalSeen(t.Context(), e, claim(ci, "c"), ci); !isCode(err, api.CodeForbidden) {
			t.Errorf("a yes on the spot of who may not approve: %v", err)
		}
		if got, err := r.agent.approvalSeen(admin, e, claim(api.Actor{User: "ci", Machine: "ci-7"}, "c"), ci); err != nil || got.By != ci {
			t.Errorf("a yes on the spot is by %+v (%v)", got, err)
		}
		if got, err := r.agent.approvalSeen(admin, e, claim(tom, "c"), ci); err != nil || got.By.User != "tom" || got.By.Identity.Known() {
			t.Errorf("a yes in another's name is by %+v (%v)", got, err)
		}
		if _, err := r.agent.approve(e, tom, api.Approve{ReleaseRef: api.ReleaseRef{Release: 1}, Content: "c"}); err != nil {
			t.Fatal(err)
		}
		if got, err := r.agent.approvalSeen(t.Context(), e, claim(api.Actor{User: "mira"}, "c"), ci); err != nil || got.By != tom {
			t.Errorf("a yes that the host has is by %+v (%v)", got, err)
		}
		if got, err := r.agent.approvalSeen(admin, e, claim(tom, "other"), ci); err != nil || got.By.Identity.Known() {
			t.Errorf("a yes to another content is by %+v (%v)", got, err)
		}
	})
}

// TestRolesDoNotReachTheHost: who may deploy to an environment gets neither the
// host nor another environment's secrets by it.
func TestRolesDoNotReachTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		defer r.stop()
		e, err := r.agent.environment("shop", "prod")
		if err != nil {
			t.Fatal(err)
		}
		bring := func(s *sequence) error {
			p := s.prepare()
			return r.agent.mayBring(t.Context(), e, &p) // over no connection: nobody's role
		}
		s := &sequence{t: t, id: "d1", r: release(1, map[string]int{"web": 1}, "web/1"), steps: roll("web/1")}
		if err := bring(s); err != nil {
			t.Errorf("a release that stays in its containers: %v", err)
		}
		s.r.Services[0].Volumes = []pipeline.Volume{{Name: "etc", Source: "/etc", Destination: "/host"}}
		if err := bring(s); !isCode(err, api.CodeForbidden) || !strings.Contains(err.Error(), "service web has /etc of the host") {
			t.Errorf("a release with the host's /etc: %v", err)
		}
		if err := s.run(r); err != nil { // as admin
			t.Fatal(err)
		}
		s.r.Number = 2
		if err := bring(s); err != nil {
			t.Errorf("a release with what an admin has brought: %v", err)
		}
		s.r.Services[0].CapAdd = []string{"SYS_ADMIN"}
		if err := bring(s); !isCode(err, api.CodeForbidden) {
			t.Errorf("a release with a capability: %v", err)
		}
		s.r.Services[0].CapAdd = nil

		const version = "version-of-another"
		path := r.agent.secretPath(version)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("open sesame"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.r.Secrets = map[string]string{"KEY": version}
		for value, allowed := range map[string]bool{"": false, "wrong": false, "open sesame": true} {
			s.values = map[string]string{version: value}
			if value == "" {
				s.values = nil
			}
			if err := bring(s); (err == nil) != allowed || err != nil && (!isCode(err, api.CodeForbidden) || strings.Contains(err.Error(), "sesame")) {
				t.Errorf("another environment's secret, with value %q: %v", value, err)
			}
		}
	})
}

// TestIdentitiesAreNotTheClients: what a client sends as the identity of an actor is
// dropped, in the header and in every request that carries one.
func TestIdentitiesAreNotTheClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		defer r.stop()
		forged := api.Actor{User: "mira", Identity: api.Identity{Account: "root", Key: "SHA256:forged"}}
		lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20, ID: "d1", Holder: forged})
		if err != nil || lease.Holder.User != "mira" || lease.Holder.Identity.Known() {
			t.Fatalf("the lease is %+v's (%v)", lease.Holder, err)
		}
		s := &sequence{t: t, id: "d1", fence: lease.Fence, r: release(1, map[string]int{"web": 1}, "web/1"), steps: roll("web/1")}
		p := s.prepare()
		p.Actor, p.Release.By = forged, forged
		if _, err := r.Prepare(t.Context(), p, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Steps(t.Context(), s.id, api.Steps{Fence: s.fence, Steps: s.steps}, nil); err != nil {
			t.Fatal(err)
		}
		yes := &api.Approval{ReleaseRef: api.ReleaseRef{Release: 1}, Content: "c", By: api.Actor{User: "tom", Identity: forged.Identity}}
		record, err := r.Confirm(t.Context(), s.id, api.Confirm{Fence: s.fence, Approval: yes})
		if err != nil {
			t.Fatal(err)
		}
		env, err := r.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for what, actor := range map[string]api.Actor{
			"history": record.Actor, "the approval in it": record.Approval.By, "the release": env.Current.By,
			"evidence": w.sworn(r, numberOne).Reported.By, "the approval in that": w.sworn(r, numberOne).Approval.By,
		} {
			if actor.Identity.Known() {
				t.Errorf("%s has %+v", what, actor)
			}
		}
		if len(env.Approvals) != 0 {
			t.Errorf("another's approval is kept: %+v", env.Approvals)
		}
	})
}
