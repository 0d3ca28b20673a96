package run

import (
	"strings"
	"testing"
	"time"

	"dray/pipeline"
)

func TestGate(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	web := func(digest string) map[string]pipeline.ReleaseImage {
		return map[string]pipeline.ReleaseImage{"web": {Name: "shop/web", Digest: digest}}
	}
	release := &pipeline.Release{Number: 42, Environment: "test", Images: web("sha256:aaaa")}
	fresh := func() *gate {
		return &gate{
			runner:   &Runner{Now: func() time.Time { return now }, Actor: pipeline.Actor{User: "mira"}},
			env:      &pipeline.Environment{Name: "prod", Services: map[string]*pipeline.Service{"web": {Name: "web", Image: pipeline.Image{Target: "web"}}}, Promotion: &pipeline.Promotion{From: "test"}},
			from:     &pipeline.Environment{Name: "test"},
			running:  &Running{Release: release},
			evidence: &Evidence{Age: 4 * time.Minute},
			current:  &Running{Release: &pipeline.Release{Number: 41}},
		}
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
		{"nobody approved", func(g *gate) { g.env.Promotion.Approve = true }, []string{"nobody has approved it"}},
		{"approved before", func(g *gate) {
			g.env.Promotion.Approve, g.current.Approved = true, &Approval{Release: 42}
		}, nil},
		{"another release was approved", func(g *gate) {
			g.env.Promotion.Approve, g.current.Approved = true, &Approval{Release: 41}
		}, []string{"nobody has approved it"}},
		{"approved at the terminal", func(g *gate) {
			g.env.Promotion.Approve = true
			g.runner.Approve = func(string, pipeline.Release) (bool, error) { return true, nil }
		}, nil},
		{"other bits were built", func(g *gate) { g.expected = web("sha256:bbbb") }, []string{"web bbbb never ran in test, which runs aaaa"}},
		{"the same bits were built", func(g *gate) { g.expected = web("sha256:aaaa") }, nil},
		{"a service is new", func(g *gate) {
			g.env.Services["db"] = &pipeline.Service{Name: "db", Image: pipeline.Image{Ref: "postgres:17"}}
		}, []string{"db is not part of release 42 of test"}},
		{"evidence does not hold", func(g *gate) { g.evidence.Faults = []string{"t1's signature is not its own"} }, []string{"t1's signature is not its own"}},
		{"one that failed is held before", func(g *gate) {
			g.running.Differ, g.running.Held = []string{"t1", "t2"}, 43
		}, []string{"release 43 failed in test and is held there"}},
		{"all reasons at once", func(g *gate) {
			g.running.Differ = []string{"t2"}
			g.env.Promotion.MinAge = pipeline.Duration(time.Hour)
			g.expected = web("sha256:bbbb")
		}, []string{"do not agree", "never ran in test", "asks for 1h"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := fresh()
			test.change(g)
			images, _, err := g.check()
			if len(test.want) == 0 {
				if err != nil || images["web"].Digest != "sha256:aaaa" {
					t.Fatalf("got %v, %v; want the images of release 42", images, err)
				}
				return
			}
			if !IsRefusal(err) {
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
