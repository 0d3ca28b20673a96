package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"dray/pipeline"
	"dray/targets/api"
)

const prod = `
service "web" { image = "docker.io/library/nginx:1" }
environment "prod" { hosts = [host.p1] }
`

// question is one that the real program asks at a terminal.
type question struct {
	args   []string
	prompt string
	host   func(*testing.T) (*fakeHost, string) // and the project's folder
	kept   string                               // a call that only a yes may lead to
}

// questions are all that dray asks before it has changed anything.
func questions() map[string]question {
	running := api.Environment{Project: "shop", Name: "prod", Current: &api.Release{Number: 41, Placement: map[string][]string{"p1": {"web/1"}}}}
	return map[string]question{
		"approve": {
			args: []string{"promote", "prod"}, prompt: "Type the environment's name to approve it: ", kept: api.RouteAcquire,
			host: func(t *testing.T) (*fakeHost, string) { return promotable(t, "approve = true") },
		},
		"down": {
			args: []string{"down", "prod"}, prompt: "Type prod to go on: ", kept: api.RouteDown,
			host: func(t *testing.T) (*fakeHost, string) {
				h := startFakeHost(t)
				h.says(api.RouteEnvironment, running)
				h.says(api.RouteHost, api.Host{})
				h.streams(api.RouteDown, api.DownResult{}, nil)
				return h, h.project("", false, prod)
			},
		},
		"recover": {
			args: []string{"recover", "prod"}, prompt: "Type prod to go on: ", kept: api.RouteAcquire,
			host: func(t *testing.T) (*fakeHost, string) {
				h := startFakeHost(t)
				state := running
				state.Deployment = &api.Deployment{ID: "d1", Kind: "deploy", State: api.StateCommitting, ReleaseRef: api.ReleaseRef{Release: 42},
					FromRef: api.FromRef{From: 41}, Held: &api.Held{Since: time.Now(), Reason: "it ended"}}
				h.says(api.RouteEnvironment, state)
				h.says(api.RouteHost, api.Host{})
				return h, h.project("", false, prod)
			},
		},
		"host trust": {
			args: []string{"host", "trust", "p1"}, prompt: "Type yes to trust it: ",
			host: func(t *testing.T) (*fakeHost, string) {
				h := startFakeHost(t)
				return h, h.project("", true, prod)
			},
		},
		"passphrase": {
			args: []string{"status", "prod"}, prompt: "id_ed25519: ", kept: api.RouteEnvironment,
			host: func(t *testing.T) (*fakeHost, string) {
				h := startFakeHost(t)
				h.says(api.RouteEnvironment, running)
				return h, h.project("open sesame", false, prod)
			},
		},
	}
}

// promotable is a host whose dev runs release 42, and a project that promotes it
// to prod, where a canary goes first.
func promotable(t *testing.T, gate string) (*fakeHost, string) {
	t.Helper()
	h := startFakeHost(t)
	image := pipeline.ReleaseImage{Name: "docker.io/library/nginx", Digest: "sha256:" + strings.Repeat("7d", 32)}
	release := api.Release{
		Project: "shop", Environment: "dev", Number: 42, Images: map[string]pipeline.ReleaseImage{"web": image},
		Services: []pipeline.Service{{Name: "web"}}, Placement: map[string][]string{"p1": {"web/1"}},
	}
	h.says(api.RouteHost, api.Host{PublicKey: h.evidence.Public().(ed25519.PublicKey), Now: time.Now()})
	h.routes.HandleFunc(api.RouteEnvironment, func(w http.ResponseWriter, r *http.Request) {
		state := api.Environment{Project: "shop", Name: r.PathValue("environment")}
		if state.Name == "dev" {
			state.Current, state.Since = &release, time.Now().Add(-time.Hour)
		}
		_ = json.NewEncoder(w).Encode(state)
	})
	h.routes.HandleFunc(api.RouteEvidence, func(w http.ResponseWriter, _ *http.Request) { h.swear(w, release) })
	h.says(api.RouteRevisions, []string{})
	h.says(api.RouteReleases, []api.Release{})
	h.says(api.RouteAcquire, api.Lease{Fence: 1, Seconds: 20})
	h.says(api.RouteRelease, struct{}{})
	h.streams(api.RoutePrepare, api.PrepareResult{Instances: []api.InstanceStatus{{Instance: "web/1"}, {Instance: "web/2"}}}, nil)
	h.streams(api.RouteSteps, api.StepsResult{}, nil)
	return h, h.project("", false, fmt.Sprintf(`
service "web" {
  image = "docker.io/library/nginx:1"
  count = 2
  update {
    strategy = "canary"
    canary   = 1
  }
}
environment "dev" { hosts = [host.p1] }
environment "prod" {
  hosts = [host.p1]
  promotion {
    from = environment.dev
    %s
  }
}
`, gate))
}

// TestCanaryQuestionEnds: the first signal takes back what has begun; the second
// waits for nothing.
func TestCanaryQuestionEnds(t *testing.T) {
	for how, interrupt := range map[string]func(*person){"Ctrl-C": interruptions["Ctrl-C"], "SIGINT": interruptions["SIGINT"], "SIGTERM": interruptions["SIGTERM"]} {
		for _, twice := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s twice=%t", how, twice), func(t *testing.T) {
				t.Parallel()
				h, dir := promotable(t, "")
				h.says(api.RouteRenew, api.Lease{Fence: 1, Seconds: 20})
				begun := make(chan struct{}, 1)
				h.streams(api.RouteRevert, api.StepsResult{}, func(ctx context.Context) {
					begun <- struct{}{}
					if twice {
						<-ctx.Done() // goes on until the deployer is gone
					}
				})
				p := sit(t, dir, "promote", "prod")
				p.sees("to bring the rest")
				interrupt(p)
				<-begun
				want := "p1 serves nothing again"
				if twice {
					interrupt(p)
					want = "goes back by itself"
				}
				if shown := p.ends(exitInterrupted); !strings.Contains(shown, want) {
					t.Errorf("%q is not what it says:\n%s", want, shown)
				}
			})
		}
	}
}

// TestCanaryQuestionEndsWithTheLease: who lost the environment to somebody else
// is not asked about it any longer.
func TestCanaryQuestionEndsWithTheLease(t *testing.T) {
	h, dir := promotable(t, "")
	h.loses(api.RouteRenew)
	h.streams(api.RouteRevert, api.StepsResult{}, nil)
	p := sit(t, dir, "promote", "prod", "--lease", "1s")
	p.sees("to bring the rest")
	if shown := p.ends(exitReverted); !strings.Contains(shown, "lease") {
		t.Errorf("it does not say why:\n%s", shown)
	}
}

// TestCanaryQuestionAnswered: what is typed at the terminal counts.
func TestCanaryQuestionAnswered(t *testing.T) {
	h, dir := promotable(t, "")
	h.says(api.RouteRenew, api.Lease{Fence: 1, Seconds: 20})
	h.streams(api.RouteRevert, api.StepsResult{}, nil)
	p := sit(t, dir, "promote", "prod")
	p.sees("to bring the rest")
	p.types("no\n")
	if shown := p.ends(exitReverted); !strings.Contains(shown, noAtTerminal) {
		t.Errorf("it does not say why:\n%s", shown)
	}
}

// TestQuestionsEnd: a signal ends dray at every question, once or twice, with
// nothing done and the terminal as it was.
func TestQuestionsEnd(t *testing.T) {
	for name, q := range questions() {
		for how, interrupt := range interruptions {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				h, dir := q.host(t)
				p := sit(t, dir, q.args...)
				p.sees(q.prompt)
				interrupt(p)
				p.ends(exitInterrupted)
				if q.kept != "" && h.was(q.kept) {
					t.Errorf("it called %s without a yes", q.kept)
				}
			})
		}
	}
}
