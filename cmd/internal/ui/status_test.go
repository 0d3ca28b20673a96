package ui

import (
	"bytes"
	"strings"
	"testing"

	"dray/deploy/environment"
	"dray/pipeline"
	"dray/targets/api"
)

// TestDigestsDiffer: where hosts run different digests, status says which run
// which.
func TestDigestsDiffer(t *testing.T) {
	env := &pipeline.Environment{Name: "prod", Services: map[string]*pipeline.Service{"web": {Name: "web"}, "db": {Name: "db"}}}
	runs := func(host string, number int, web string) environment.HostStatus {
		r := &pipeline.Release{Number: number, Services: []pipeline.Service{{Name: "db"}, {Name: "web"}}, Images: imagesNamed("web", web)}
		r.Images["db"] = pipeline.ReleaseImage{Digest: "sha256:dddd"}
		return environment.HostStatus{Host: host, State: &api.Environment{Current: r}}
	}
	v := environment.Status{Environment: "prod", Hosts: []environment.HostStatus{
		runs("p1", 42, "7d1c0f6e2b9a77"), runs("p2", 41, "a91e77d0c4f511"), runs("p3", 41, "a91e77d0c4f511"), runs("p4", 41, "a91e77d0c4f511"),
	}}
	v.Sum(env)
	if got, want := v.Notes[len(v.Notes)-1], "web: p1 7d1c0f6e2b9a, p2 and 2 more a91e77d0c4f5"; got != want || v.Images["web"] != "sha256:7d1c0f6e2b9a77" {
		t.Errorf("got %q and %v, want %q", got, v.Images, want)
	}
	var out bytes.Buffer
	p := &pipeline.Project{Environments: []*pipeline.Environment{env}}
	if err := PrintStatus(&out, p, []environment.Status{v}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"- dddd", "- digests differ\n", "! prod  web: p1 7d1c0f6e2b9a, p2 and 2 more a91e77d0c4f5\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

// TestWaiting: status tells what could be brought: a release, or what the file
// says otherwise by now.
func TestWaiting(t *testing.T) {
	services := func(level string) map[string]*pipeline.Service {
		return map[string]*pipeline.Service{"web": {Name: "web", Env: map[string]string{"LEVEL": level}}}
	}
	dev := &pipeline.Environment{Name: "dev", Services: services("info")}
	prod := &pipeline.Environment{Name: "prod", Services: services("info"), Promotion: &pipeline.Promotion{From: "dev"}}
	p := &pipeline.Project{Environments: []*pipeline.Environment{dev, prod}}
	runs := func(env string, n pipeline.ReleaseNumber, level string) environment.Status {
		r := &pipeline.Release{Number: n.Number, Revision: n.Revision, Services: []pipeline.Service{*services(level)["web"]}, Images: imagesNamed("web", "aaaa")}
		return environment.Status{Environment: env, Release: n.Number, Revision: n.Revision, Hosts: []environment.HostStatus{{Error: "silent"}, {State: &api.Environment{Current: r}}}}
	}
	n := func(number, revision int) pipeline.ReleaseNumber {
		return pipeline.ReleaseNumber{Number: number, Revision: revision}
	}
	for _, test := range []struct {
		name      string
		dev, prod environment.Status
		want      string
	}{
		{"nothing", runs("dev", n(42, 0), "info"), runs("prod", n(42, 1), "info"), ""},
		{"a release", runs("dev", n(43, 0), "info"), runs("prod", n(42, 1), "debug"), "release 43 of dev waits: dray promote prod\n"},
		{"configuration", runs("dev", n(42, 0), "info"), runs("prod", n(42, 0), "debug"), "a change of configuration waits: dray promote prod (dray plan prod shows it)\n"},
		{"configuration of the first", runs("dev", n(42, 0), "debug"), runs("prod", n(42, 0), "info"), "a change of configuration waits: dray deploy dev (dray plan dev shows it)\n"},
		{"hosts differ", environment.Status{Environment: "dev"}, runs("prod", n(42, 0), "info"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			printWaiting(&out, p, []environment.Status{test.dev, test.prod})
			if out.String() != test.want {
				t.Errorf("got %q, want %q", out.String(), test.want)
			}
		})
	}
}
