package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"dray/builder"
	"dray/cmd/internal/ui"
	"dray/deploy"
	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/pipeline/plan"
	"dray/pipeline/run"
	"dray/pipeline/secret"
	"dray/targets/api"
)

// TestExplain holds what a person sees of each kind of failure, in its four
// parts, and the exit code.
func TestExplain(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 2, 11, 0, time.UTC)
	unhealthy := &api.Error{
		Code: api.CodeUnhealthy, Service: "web", Port: "http", Message: "web did not become healthy on p1 within 2m",
		Detail: "the container listens on :80, not on 8080", Logs: []string{"listening on :80"},
	}
	rollout := func(outcome deploy.Outcome, cause error, change func(*deploy.Error)) error {
		e := &deploy.Error{Outcome: outcome, Cause: cause, Environment: "prod", Hosts: []string{"p1", "p2"}, Release: pipeline.ReleaseNumber{Number: 42}, From: pipeline.ReleaseNumber{Number: 41}}
		var refused *api.Error
		if errors.As(cause, &refused) {
			e.Logs = refused.Logs
		}
		if change != nil {
			change(e)
		}
		return fmt.Errorf("wrapped: %w", e)
	}
	tests := []struct {
		name string
		err  error
		code int
		want string // after "wrapped: "
	}{
		{"any error", errors.New("no such thing"), exitFailed, "✗ no such thing\n"},
		{
			"a plan that does not fit any more", rollout(deploy.Refused, &plan.MovedError{Environment: "prod", Reasons: []string{"p1 runs release 41.1; the plan was made when it ran release 41"}}, nil), exitRefused,
			"✗ the plan does not fit prod any more:\n" +
				"    - p1 runs release 41.1; the plan was made when it ran release 41\n" +
				"  Nothing was changed.\n" +
				"  Next: dray plan prod --out FILE, look at it, and deploy that one\n",
		},
		{
			"unhealthy, and back", rollout(deploy.Reverted, &deploy.HostError{Host: "p1", Err: unhealthy}, nil), exitReverted,
			"✗ web did not become healthy on p1 within 2m\n" +
				"  The container listens on :80, not on 8080\n" +
				"  Its last lines:\n" +
				"    listening on :80\n" +
				"  p1 and p2 serve release 41 again. Nothing of release 42 is left running.\n" +
				"  Next: dray logs prod web --release 42 shows all of its output\n",
		},
		{
			"a revision, and back", rollout(deploy.Reverted, &deploy.HostError{Host: "p1", Err: unhealthy}, func(e *deploy.Error) { e.From, e.Release.Revision = e.Release, 1 }), exitReverted,
			"✗ web did not become healthy on p1 within 2m\n" +
				"  The container listens on :80, not on 8080\n" +
				"  Its last lines:\n" +
				"    listening on :80\n" +
				"  p1 and p2 serve release 42 again. Nothing of release 42.1 is left running.\n" +
				"  Next: dray logs prod web --release 42.1 shows all of its output\n",
		},
		{
			"the first release, and back", rollout(deploy.Reverted, errors.New("p1: it ended"), func(e *deploy.Error) { e.From, e.Hosts = pipeline.ReleaseNumber{}, []string{"p1"} }), exitReverted,
			"✗ p1: it ended\n  p1 serves nothing again. Nothing of release 42 is left running.\n  Next: dray logs prod --release 42 shows what it wrote\n",
		},
		{
			"not everywhere back", rollout(deploy.NotReverted, errors.New("p1: it ended"), func(e *deploy.Error) { e.Stuck = []string{"p2"} }), exitNotReverted,
			"✗ p1: it ended\n  p2 did not go back; the agents do so by themselves when the lease has ended.\n  Next: dray status prod, then dray recover prod\n",
		},
		{
			"held", rollout(deploy.Paused, &deploy.HostError{Host: "p1", Err: unhealthy}, func(e *deploy.Error) {
				e.Pause = &deploy.PauseState{
					Hosts: []string{"p1", "p2"}, At: pipeline.Pos{File: "dray.hcl", Line: 31},
					Serves: []deploy.Serving{{Service: "db"}, {Service: "web", Release: pipeline.ReleaseNumber{Number: 41}, Count: 1}, {Service: "web", Release: pipeline.ReleaseNumber{Number: 42}, Count: 2}},
				}
			}), exitNotReverted,
			"✗ web did not become healthy on p1 within 2m\n" +
				"  The container listens on :80, not on 8080\n" +
				"  Its last lines:\n" +
				"    listening on :80\n" +
				"  Release 42 is still in place on p1 and p2 as far as it came, because auto_revert is false (dray.hcl:31).\n" +
				"  Serving now: db none, web 1 of release 41 and 2 of release 42.\n" +
				"  Next: dray rollback prod goes back to release 41; or repair it and dray deploy prod, which goes back first\n",
		},
		{
			"held on some hosts, the first release", rollout(deploy.Paused, errors.New("p1: it ended"), func(e *deploy.Error) {
				e.From, e.Stuck = pipeline.ReleaseNumber{}, []string{"p2"}
				e.Pause = &deploy.PauseState{Hosts: []string{"p1"}, Serves: []deploy.Serving{{Service: "web", Release: pipeline.ReleaseNumber{Number: 42}, Count: 1}}}
			}), exitNotReverted,
			"✗ p1: it ended\n" +
				"  Release 42 is still in place on p1 as far as it came, because auto_revert is false.\n" +
				"  Serving now: web 1 of release 42.\n" +
				"  p2 could not be told to hold it, and will go back when the lease has ended; the next rollback or deploy makes all hosts equal.\n" +
				"  Next: dray rollback prod goes back to nothing; or repair it and dray deploy prod, which goes back first\n",
		},
		{
			"a stand", rollout(deploy.Reverted, &deploy.StalledError{
				Deadline: pipeline.Duration(10 * time.Minute), At: pipeline.Pos{File: "dray.hcl", Line: 30},
				Waited: []deploy.Waited{{Host: "p1", Instance: "web/1", State: "starting"}, {Host: "p2", Instance: "web/2"}},
			}, nil), exitReverted,
			"✗ no further instance became healthy within 10m (progress_deadline, dray.hcl:30): waited for web/1 on p1 (starting), web/2 on p2 (not started)\n" +
				"  p1 and p2 serve release 41 again. Nothing of release 42 is left running.\n" +
				"  Next: dray logs prod web --release 42 shows what it wrote\n",
		},
		{
			"a stand, with what is wrong", rollout(deploy.Reverted, &deploy.StalledError{
				Deadline: pipeline.Duration(10 * time.Minute), At: pipeline.Pos{File: "dray.hcl", Line: 30}, Ailment: unhealthy,
				Waited: []deploy.Waited{{Host: "p1", Instance: "web/1", State: "starting"}},
			}, func(e *deploy.Error) { e.DeclaredAt = pipeline.Pos{File: "dray.hcl", Line: 12} }), exitReverted,
			"✗ no further instance became healthy within 10m (progress_deadline, dray.hcl:30): waited for web/1 on p1 (starting)\n" +
				"  web did not become healthy on p1 within 2m\n" +
				"  The container listens on :80, not on 8080 (port \"http\" at dray.hcl:12)\n" +
				"  Its last lines:\n" +
				"    listening on :80\n" +
				"  p1 and p2 serve release 41 again. Nothing of release 42 is left running.\n" +
				"  Next: dray logs prod web --release 42 shows all of its output\n",
		},
		{
			"a stand before anything started", rollout(deploy.Reverted, &deploy.StalledError{
				Deadline: pipeline.Duration(time.Minute), At: pipeline.Pos{File: "dray.hcl", Line: 30}, Waited: []deploy.Waited{{Host: "p1", Instance: "web/1", State: "stopped"}},
			}, nil), exitReverted,
			"✗ no further instance became healthy within 1m (progress_deadline, dray.hcl:30): waited for web/1 on p1 (not started)\n" +
				"  p1 and p2 serve release 41 again. Nothing of release 42 is left running.\n" +
				"  Next: dray logs prod web shows what the old one still does; a longer progress_deadline (dray.hcl:30) gives it time to end\n",
		},
		{
			"a port is taken", rollout(deploy.Unchanged, &deploy.HostError{Host: "p1", Err: &api.Error{
				Code: api.CodePort, Service: "web", Port: "http", Message: "port 80/tcp is taken by nginx (pid 5)",
			}}, func(e *deploy.Error) { e.DeclaredAt = pipeline.Pos{File: "dray.hcl", Line: 12} }), exitFailed,
			"✗ p1: port 80/tcp is taken by nginx (pid 5)\n  prod is untouched and runs release 41.\n  Next: end what holds it there, or publish another port (port \"http\" at dray.hcl:12)\n",
		},
		{
			"a folder is missing", rollout(deploy.Unchanged, &deploy.HostError{Host: "p1", Err: &api.Error{
				Code: api.CodeSource, Service: "web", Volume: "data", Message: `volume "data" of service web binds /srv/data, which does not exist on this host`, Detail: "a volume with a source is a folder or a file of the host; mkdir -p /srv/data makes an empty folder",
			}}, func(e *deploy.Error) { e.DeclaredAt = pipeline.Pos{File: "dray.hcl", Line: 14} }), exitFailed,
			"✗ p1: volume \"data\" of service web binds /srv/data, which does not exist on this host\n" +
				"  A volume with a source is a folder or a file of the host; mkdir -p /srv/data makes an empty folder (volume \"data\" at dray.hcl:14)\n" +
				"  prod is untouched and runs release 41.\n" +
				"  Next: make it on that host, or leave source out: dray keeps the data in a volume of its own then\n",
		},
		{
			"nothing begun", rollout(deploy.Unchanged, &deploy.HostError{Host: "p1", Err: api.Errorf(api.CodeInternal, "input/output error")}, nil), exitFailed,
			"✗ p1: input/output error\n  prod is untouched and runs release 41.\n  Next: dray host check p1 shows how it is\n",
		},
		{
			"no space", rollout(deploy.Unchanged, api.Errorf(api.CodeSpace, "no space left on the disk"), nil), exitFailed,
			"✗ no space left on the disk\n  prod is untouched and runs release 41.\n  Next: make room there; dray prune prod drops what no release needs\n",
		},
		{
			"no memory", rollout(deploy.Unchanged, api.Errorf(api.CodeSpace, "web/1 may use 900GiB of memory"), nil), exitFailed,
			"✗ web/1 may use 900GiB of memory\n  prod is untouched and runs release 41.\n  Next: lower memory in its resources block, or take another host\n",
		},
		{
			"somebody else deploys", rollout(deploy.Refused, &api.Error{Code: api.CodeLocked, Message: "held", Lease: &api.Lease{
				Holder: api.Actor{User: "mira", Machine: "ci-7", Command: "dray ship"}, Since: at, Seconds: 20,
			}}, nil), exitRefused,
			"✗ prod is being changed by mira on ci-7 (dray ship) since 10:02:11; their lease ends in 20s unless renewed.\n" +
				"  Nothing was changed.\n  Next: wait with --lock-wait 2m, or look: dray status prod\n",
		},
		{
			"locked", rollout(deploy.Refused, &api.Error{Code: api.CodeLocked, Message: "locked", Freeze: &api.Freeze{
				By: api.Actor{User: "mira", Machine: "ci-7"}, Reason: "audit", Until: at,
			}}, nil), exitRefused,
			"✗ prod is locked by mira on ci-7 until 2026-11-22 10:02:11: audit\n  Nothing was changed.\n  Next: dray unlock prod, once that is settled\n",
		},
		{
			"a verify that does not pass", rollout(deploy.Reverted, &run.VerifyError{
				Verify: pipeline.Verify{Name: "smoke", At: pipeline.Pos{File: "dray.hcl", Line: 7}}, Err: errors.New("exit code 1"), Output: []string{"GET /: 500"},
			}, nil), exitReverted,
			"✗ verify smoke (dray.hcl:7) did not pass: exit code 1\n  Its last lines:\n    GET /: 500\n" +
				"  p1 and p2 serve release 41 again. Nothing of release 42 is left running.\n" +
				"  Next: dray logs prod --release 42 shows what it wrote; or mend verify smoke (dray.hcl:7)\n",
		},
		{
			"a gate's no", &run.Refusal{Environment: "prod", Release: pipeline.ReleaseNumber{Number: 42}, Runs: pipeline.ReleaseNumber{Number: 41}, Reasons: []string{"it is too young", "nobody has approved it"}, Next: "dray approve prod 42"}, exitRefused,
			"✗ release 42 may not enter prod:\n    - it is too young\n    - nobody has approved it\n  prod is untouched and runs release 41.\n  Next: dray approve prod 42\n",
		},
		{
			"no way back", &run.Refusal{Environment: "prod", Back: true, Reasons: []string{"there is no older one"}}, exitRefused,
			"✗ prod can't go back:\n    - there is no older one\n  prod is untouched and runs nothing.\n",
		},
		{
			"interrupted, and hosts did not go back", rollout(deploy.NotReverted, fmt.Errorf("%w\np2: the connection was lost", errInterrupted), func(e *deploy.Error) { e.Stuck = []string{"p2"} }), exitNotReverted,
			"✗ interrupted\n  p2: the connection was lost\n  p2 did not go back; the agents do so by themselves when the lease has ended.\n  Next: dray status prod, then dray recover prod\n",
		},
		{
			"a down that was interrupted", &deploy.DownError{Environment: "prod", Gone: []string{"p1"}, Stuck: []string{"p2", "p3"}, Volumes: true, Err: errInterrupted}, exitNotReverted,
			"✗ taking prod down: interrupted\n  prod is gone from p1. p2 and p3 may keep some of prod: what is removed does not come back.\n  Next: dray down prod --volumes again finishes it\n",
		},
		{
			"interrupted", rollout(deploy.Reverted, errInterrupted, nil), exitInterrupted,
			"✗ interrupted\n  p1 and p2 serve release 41 again. Nothing of release 42 is left running.\n",
		},
		{"cancelled", fmt.Errorf("building: %w", context.Canceled), exitInterrupted, "✗ building: context canceled\n"},
		{
			"an unreachable host", &deploy.HostError{Host: "p1", Err: &ssh.DialError{Host: "p1", Address: "deploy@p1:22", Kind: ssh.KindRefused, Detail: "nothing listens there", Next: "ssh deploy@p1"}}, exitFailed,
			"✗ p1 (deploy@p1:22): nothing listens there\n  Nothing was sent.\n  Next: ssh deploy@p1\n",
		},
		{
			"a secret without a value", &secret.MissingError{Environment: "prod", Names: []string{"TOKEN"}, Dir: "/src"}, exitFailed,
			"✗ 1 secret without a value for prod: TOKEN\n  Nothing was changed.\n  Next: write TOKEN=… into .dray/secrets.prod, or .dray/secrets for all environments," +
				" or set a variable of that name; DRAY_SECRETS_COMMAND can name a command that prints it\n",
		},
		{
			"secrets that the file declares", &secret.MissingError{Environment: "dev", Names: []string{"KEY", "TOKEN"}, Declared: declaredSecrets(&pipeline.Environment{
				Services: map[string]*pipeline.Service{"web": {Secrets: []pipeline.Secret{{Name: "TOKEN", At: pipeline.Pos{File: "dray.hcl", Line: 14}}}}},
				Tasks:    map[string]*pipeline.Task{"report": {Secrets: []pipeline.Secret{{Name: "TOKEN"}}}},
			}), Command: "op read"}, exitFailed,
			"✗ 2 secrets without a value for dev: KEY, TOKEN (service web, dray.hcl:14; task report)\n  \"op read\" did not print it either.\n  Nothing was changed.\n" +
				"  Next: write KEY=… into .dray/secrets.dev, or .dray/secrets for all environments, or set a variable of that name\n",
		},
		{
			"a build", &builder.Failure{Target: "web", Reason: "the command failed with exit code 1", Output: []string{"cc: no"}, Next: "fix it"}, exitFailed,
			"✗ building web: the command failed with exit code 1\n  Its last lines:\n    cc: no\n  Nothing was changed.\n  Next: fix it\n",
		},
		{"said already", &exitError{code: exitDifferent}, exitDifferent, "✗ \n"},
		{
			"one environment of several", &ui.PartlyShipped{
				Done: []*pipeline.Deployed{{Release: pipeline.Release{Environment: "dev", Number: 42, Images: imagesNamed("web", "aaaa")}}},
				Err:  rollout(deploy.Unchanged, errors.New("p1: no"), nil),
			}, exitFailed,
			"✗ p1: no\n  dev runs web aaaa (release 42). prod is untouched and runs release 41.\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, code := explain(test.err)
			e.Text = strings.TrimPrefix(e.Text, "wrapped: ")
			var out bytes.Buffer
			ui.PrintFailure(&out, e, false)
			if code != test.code || out.String() != test.want {
				t.Errorf("code %d, want %d\n%s\nwant\n%s", code, test.code, out.String(), test.want)
			}
		})
	}
}

func imagesNamed(service, hex string) map[string]pipeline.ReleaseImage {
	return map[string]pipeline.ReleaseImage{service: {Name: service, Digest: "sha256:" + hex}}
}
