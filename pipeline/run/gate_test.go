package run

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"dray/pipeline"
)

// previewing is an environment that names what comes.
type previewing struct{ revision int }

func (p *previewing) Preview(_ context.Context, r pipeline.Release) (pipeline.Release, error) {
	r.Revision = p.revision
	return r, nil
}

func TestGate(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	web := func(digest string) map[string]pipeline.ReleaseImage {
		return map[string]pipeline.ReleaseImage{"web": {Name: "shop/web", Digest: digest}}
	}
	release := &pipeline.Release{Number: 42, Environment: "test", Images: web("sha256:aaaa")}
	fresh := func() *gate {
		return &gate{
			runner:   &Runner{Project: &pipeline.Project{Name: "shop"}, Now: func() time.Time { return now }, Actor: pipeline.Actor{User: "mira"}},
			env:      &pipeline.Environment{Name: "prod", Services: map[string]*pipeline.Service{"web": {Name: "web", Image: pipeline.Image{Target: "web"}}}, Promotion: &pipeline.Promotion{From: "test"}},
			from:     &pipeline.Environment{Name: "test"},
			running:  &pipeline.Running{Release: release},
			evidence: &pipeline.Evidence{Age: 4 * time.Minute},
			open:     &previewing{},
			current:  &pipeline.Running{Release: &pipeline.Release{Number: 41}},
		}
	}
	content := (&pipeline.Release{Images: release.Images, Services: []pipeline.Service{*fresh().env.Services["web"]}}).ApprovalHash()
	approved := func(number, revision int, content string) []pipeline.Approval {
		return []pipeline.Approval{{ReleaseRef: pipeline.ReleaseRef{Release: number, Revision: revision}, Content: content, By: pipeline.Actor{User: "tom"}}}
	}
	approvedWith := func(key string, approvals []pipeline.Approval) []pipeline.Approval {
		approvals[0].By.Identity.Key = key
		return approvals
	}
	asking := func(keys ...string) (out []pipeline.Actor) {
		for _, key := range keys {
			out = append(out, pipeline.Actor{User: "mira", Identity: pipeline.Identity{Key: key}})
		}
		return out
	}
	tests := []struct {
		name   string
		change func(*gate)
		want   []string // what the reasons must say; none: it may pass
	}{
		{"passes", func(*gate) {}, nil},
		{"nothing ran before", func(g *gate) { g.running.Release = nil }, []string{"nothing ever ran in test"}},
		{"too young", func(g *gate) { g.env.Promotion.MinAge = pipeline.Duration(30 * time.Minute) }, []string{"healthy in test for 4m; prod asks for 30m"}},
		{"old enough", func(g *gate) { g.env.Promotion.MinAge = pipeline.Duration(4 * time.Minute) }, nil},
		{"nobody approved", func(g *gate) { g.env.Promotion.Approve = true }, []string{"nobody has approved it", "dray approve prod 42"}},
		{"locked, and nobody approved", func(g *gate) {
			g.env.Promotion.Approve, g.current.Locked = true, "prod is locked by mira: audit"
		}, []string{"nobody has approved it", "- prod is locked by mira: audit: dray unlock prod"}},
		{"locked alone", func(g *gate) { g.current.Locked = "prod is locked by mira: audit" }, nil},
		{"approved before", func(g *gate) {
			g.env.Promotion.Approve, g.current.Approvals = true, approved(42, 0, content)
		}, nil},
		{"approved before something else was", func(g *gate) {
			g.env.Promotion.Approve, g.current.Approvals = true, append(approved(42, 0, content), approved(41, 0, content)...)
		}, nil},
		{"another release was approved", func(g *gate) {
			g.env.Promotion.Approve, g.current.Approvals = true, approved(41, 0, content)
		}, []string{"nobody has approved it"}},
		{"its first revision was approved", func(g *gate) {
			g.env.Promotion.Approve, g.current.Approvals, g.open = true, approved(42, 0, content), &previewing{revision: 1}
		}, []string{"release 42.1 may not enter prod", "nobody has approved it", "dray approve prod 42.1"}},
		{"its revision was approved", func(g *gate) {
			g.env.Promotion.Approve, g.current.Approvals, g.open = true, approved(42, 1, content), &previewing{revision: 1}
		}, nil},
		{"the file was changed after the approval", func(g *gate) {
			g.env.Promotion.Approve, g.current.Approvals = true, approved(42, 0, content)
			g.env.Services["web"].Env = map[string]string{"LEVEL": "debug"}
		}, []string{"what tom approved as release 42 was another configuration", "dray approve prod 42"}},
		{"approved at the terminal", func(g *gate) {
			g.env.Promotion.Approve = true
			g.runner.Approve = func(_ context.Context, _ string, r pipeline.Release) (bool, error) {
				return r.ReleaseNumber() == pipeline.ReleaseNumber{Number: 42, Revision: 1}, nil
			}
			g.open = &previewing{revision: 1}
		}, nil},
		{"approved by who promotes, under another name", func(g *gate) {
			g.env.Promotion.Approve, g.env.Promotion.PreventSelfApproval = true, true
			g.current.Approvals, g.current.Asking = approvedWith("SHA256:mira", approved(42, 0, content)), asking("SHA256:mira", "SHA256:mira")
		}, []string{"tom via key SHA256:mira approved it, with the key that promotes it now", "another person"}},
		{"approved by another person", func(g *gate) {
			g.env.Promotion.Approve, g.env.Promotion.PreventSelfApproval = true, true
			g.current.Approvals, g.current.Asking = approvedWith("SHA256:tom", approved(42, 0, content)), asking("SHA256:mira", "SHA256:mira")
		}, nil},
		{"one host's approval is another person's", func(g *gate) {
			g.env.Promotion.Approve, g.env.Promotion.PreventSelfApproval = true, true
			g.current.Approvals = append(approvedWith("SHA256:mira", approved(42, 0, content)), approvedWith("SHA256:tom", approved(42, 0, content))...)
			g.current.Asking = asking("SHA256:mira")
		}, nil},
		{"nobody saw who approved", func(g *gate) {
			g.env.Promotion.Approve, g.env.Promotion.PreventSelfApproval = true, true
			g.current.Approvals, g.current.Asking = approved(42, 0, content), asking("SHA256:mira")
		}, []string{"whether tom, who approved it, is another person can't be told", "ExposeAuthInfo"}},
		{"one host did not see who promotes", func(g *gate) {
			g.env.Promotion.Approve, g.env.Promotion.PreventSelfApproval = true, true
			g.current.Approvals, g.current.Asking = approvedWith("SHA256:tom", approved(42, 0, content)), asking("SHA256:mira", "")
		}, []string{"can't be told"}},
		{"nobody is asked who promotes and may not approve", func(g *gate) {
			g.env.Promotion.Approve, g.env.Promotion.PreventSelfApproval = true, true
			g.runner.Approve = func(context.Context, string, pipeline.Release) (bool, error) {
				t.Error("who promotes is asked to approve")
				return true, nil
			}
		}, []string{"nobody else has approved it", "have another person run dray approve prod 42"}},
		{"other bits were built", func(g *gate) { g.expected = web("sha256:bbbb") }, []string{"web bbbb is not what test runs, which is aaaa: dray deploy test first"}},
		{"the same bits are of several", func(g *gate) {
			g.expected = web("sha256:bbbb")
			g.expected["task.migrate"] = g.expected["web"]
			g.running.Release.Images["task.migrate"] = g.running.Release.Images["web"]
			g.from = &pipeline.Environment{Name: "test", Promotion: &pipeline.Promotion{}}
		}, []string{"migrate, web bbbb is not what test runs, which is aaaa: dray promote test first"}},
		{"the same bits were built", func(g *gate) { g.expected = web("sha256:aaaa") }, nil},
		{"a service is new", func(g *gate) {
			g.env.Services["db"] = &pipeline.Service{Name: "db", Image: pipeline.Image{Ref: "postgres:17"}}
		}, []string{"db is not part of release 42 of test"}},
		{"evidence does not hold", func(g *gate) { g.evidence.Faults = []string{"t1's signature is not its own"} }, []string{"t1's signature is not its own"}},
		{"one that failed is held before", func(g *gate) {
			g.running.Differ, g.running.Paused = []string{"t1", "t2"}, pipeline.ReleaseNumber{Number: 43}
		}, []string{"release 43 failed in test and is held there"}},
		{"all reasons at once", func(g *gate) {
			g.running.Differ = []string{"t2"}
			g.env.Promotion.MinAge = pipeline.Duration(time.Hour)
			g.expected = web("sha256:bbbb")
			g.env.Promotion.Approve = true
			g.runner.Approve = func(context.Context, string, pipeline.Release) (bool, error) {
				t.Error("somebody is asked to approve what may not enter")
				return true, nil
			}
		}, []string{"do not agree", "is not what test runs", "asks for 1h", "nobody has approved it"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := fresh()
			test.change(g)
			images, _, err := g.check(t.Context())
			if len(test.want) == 0 {
				if err != nil || images["web"].Digest != "sha256:aaaa" {
					t.Fatalf("got %v, %v; want the images of release 42", images, err)
				}
				return
			}
			if refusal := (*Refusal)(nil); !errors.As(err, &refusal) {
				t.Fatalf("got %v, want a refusal", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestChooseRollback(t *testing.T) {
	n := func(number, revision int) pipeline.ReleaseNumber {
		return pipeline.ReleaseNumber{Number: number, Revision: revision}
	}
	var kept []pipeline.Kept
	for _, k := range []pipeline.ReleaseNumber{n(43, 0), n(42, 2), n(42, 1), n(42, 0), n(40, 0)} {
		kept = append(kept, pipeline.Kept{Release: pipeline.Release{Number: k.Number, Revision: k.Revision}})
	}
	for name, c := range map[string]struct {
		current pipeline.ReleaseNumber
		to      Back
		want    pipeline.ReleaseNumber
		says    string
	}{
		"a number":                   {n(43, 0), Back{Release: n(40, 0)}, n(40, 0), ""},
		"its newest revision":        {n(43, 0), Back{Release: n(42, 0)}, n(42, 2), ""},
		"its newest that runs not":   {n(42, 2), Back{Release: n(42, 0)}, n(42, 1), ""},
		"its first":                  {n(43, 0), Back{Release: n(42, 0), Exact: true}, n(42, 0), ""},
		"a revision":                 {n(43, 0), Back{Release: n(42, 1), Exact: true}, n(42, 1), ""},
		"the one that runs":          {n(42, 1), Back{Release: n(42, 1), Exact: true}, n(0, 0), "it runs release 42.1 already"},
		"the only one runs":          {n(40, 0), Back{Release: n(40, 0)}, n(0, 0), "it runs release 40 already"},
		"a revision that never was":  {n(43, 0), Back{Release: n(42, 3), Exact: true}, n(0, 0), "release 42.3 is not kept; there are: 42.2, 42.1, 42, 40"},
		"there is nothing before it": {n(40, 0), Back{Exact: true}, n(0, 0), "no stable release before"},
	} {
		chosen, err := chooseRollback("prod", kept, c.current, c.to)
		got := &pipeline.Release{}
		if chosen != nil {
			got = &chosen.Release
		}
		if got.ReleaseNumber() != c.want || (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %s, %v; want %s, %q", name, got.ReleaseNumber(), err, c.want, c.says)
		}
	}
}
