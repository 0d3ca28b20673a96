package plan

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dray/deploy/strategy"
	"dray/pipeline"
)

var update = flag.Bool("update", false, "write golden files anew")

const (
	digestA = "sha256:a91e77d0c4f5a91e77d0c4f5a91e77d0c4f5a91e77d0c4f5a91e77d0c4f5aaaa"
	digestB = "sha256:7d1c0f6e2b9a7d1c0f6e2b9a7d1c0f6e2b9a7d1c0f6e2b9a7d1c0f6e2b9aaaaa"
)

// shop returns a release of a service of four instances on p1 and p2.
func shop() pipeline.Release {
	web := pipeline.Service{
		Name: "web", Image: pipeline.Image{Target: "web"}, Mode: pipeline.ModeReplicated, Count: 4,
		Env:       map[string]string{"LOG_LEVEL": "info", "PORT": "8080"},
		Ports:     []pipeline.Port{{Name: "http", To: 8080, Publish: 80, Protocol: "tcp"}},
		Secrets:   []pipeline.Secret{{Name: "DATABASE_URL", Env: "DATABASE_URL"}},
		Resources: pipeline.Resources{Memory: 256 << 20, Pids: 4096},
		Check:     &pipeline.Check{Type: pipeline.CheckHTTP, Port: "http", Path: "/up", Interval: pipeline.Duration(time.Second)},
		Update:    pipeline.Update{Strategy: pipeline.StrategyRolling, MaxParallel: 1, MinHealthyTime: pipeline.Duration(5 * time.Second)},
	}
	return pipeline.Release{
		Project: "shop", Environment: "prod", Number: 41,
		Images:    map[string]pipeline.ReleaseImage{"web": {Name: "shop/web", Digest: digestA}},
		Services:  []pipeline.Service{web},
		Secrets:   map[string]string{"DATABASE_URL": "v1"},
		Placement: map[string][]string{"p1": {"web/1", "web/3"}, "p2": {"web/2", "web/4"}},
	}
}

// running returns two hosts that run a release.
func running(r pipeline.Release) []Observed {
	return []Observed{{Name: "p1", Current: &r}, {Name: "p2", Current: &r}}
}

// holding lets a host hold a release that failed.
func holding(hosts []Observed) []Observed {
	hosts[1].Paused = pipeline.ReleaseNumber{Number: 42}
	return hosts
}

// edited returns the release after shop, changed by edit.
func edited(edit func(r *pipeline.Release, web *pipeline.Service)) pipeline.Release {
	r := shop()
	r.Number = 42
	r.Images = map[string]pipeline.ReleaseImage{"web": {Name: "shop/web", Digest: digestA}}
	edit(&r, &r.Services[0])
	return r
}

func report() pipeline.Task {
	return pipeline.Task{Name: "report", Image: pipeline.Image{Target: "web"}, Schedule: "0 3 * * *", TimeZone: "Europe/Berlin"}
}

// plans are whole plans, each with a golden text in testdata.
func plans() map[string]Input {
	volume := []pipeline.Volume{{Name: "data", Destination: "/data"}}
	return map[string]Input{
		"first": {Desired: edited(func(r *pipeline.Release, _ *pipeline.Service) { r.Number = 1 }), Hosts: []Observed{{Name: "p1"}, {Name: "p2"}}},
		"same":  {Desired: shop(), Hosts: running(shop())},
		"change": {
			Desired: edited(func(r *pipeline.Release, web *pipeline.Service) {
				r.Images["web"] = pipeline.ReleaseImage{Name: "shop/web", Digest: digestB}
				r.Secrets = map[string]string{"DATABASE_URL": "v2"}
				r.Tasks = []pipeline.Task{report()}
				web.Env = map[string]string{"LOG_LEVEL": "debug", "NEW": "x"}
				web.Resources.Memory = 384 << 20
			}),
			Hosts: func() []Observed {
				hosts := running(shop())
				for i := range hosts {
					hosts[i].Send, hosts[i].SendAll = map[string]pipeline.Bytes{digestB: 182_000}, 182_000
					hosts[i].MemoryFree = pipeline.Bytes(3-i) << 30
				}
				hosts[0].Drift = []pipeline.Drift{{Kind: "stopped", Instance: "web/3", Detail: "container shop-prod-web-3 was stopped by hand 2h ago"}}
				return hosts
			}(),
			Verify: []string{"smoke"},
		},
		"not a new container": {
			Desired: edited(func(_ *pipeline.Release, web *pipeline.Service) {
				web.Update.MaxParallel = 2
				web.Ports = []pipeline.Port{{Name: "http", To: 8080, Publish: 81, Protocol: "tcp"}}
			}),
			Hosts: running(shop()),
		},
		"fewer": {
			Desired: edited(func(r *pipeline.Release, web *pipeline.Service) {
				web.Count = 2
				r.Placement = map[string][]string{"p1": {"web/1"}, "p2": {"web/2"}}
			}),
			Hosts: running(shop()),
		},
		"a host less with data": {
			Desired: edited(func(r *pipeline.Release, web *pipeline.Service) {
				web.Volumes = volume
				r.Placement = map[string][]string{"p1": {"web/1", "web/2", "web/3", "web/4"}, "p2": {}}
			}),
			Hosts: running(edited(func(r *pipeline.Release, web *pipeline.Service) {
				r.Number = 41
				web.Volumes = volume
			})),
		},
		"removed": {
			Desired: edited(func(r *pipeline.Release, web *pipeline.Service) {
				web.Name = "site"
				r.Images = map[string]pipeline.ReleaseImage{"site": {Digest: digestB}}
				r.Placement = map[string][]string{"p1": {"site/1", "site/3"}, "p2": {"site/2", "site/4"}}
			}),
			Hosts: running(shop()),
		},
		"another revision": {
			Desired: edited(func(r *pipeline.Release, web *pipeline.Service) {
				r.Number, r.Revision = 41, 2
				web.Env = map[string]string{"LOG_LEVEL": "trace"}
			}),
			Hosts: running(edited(func(r *pipeline.Release, _ *pipeline.Service) { r.Number, r.Revision = 41, 1 })),
		},
		"little things": {
			Desired: edited(func(r *pipeline.Release, web *pipeline.Service) {
				r.Retain = 9
				web.Image = pipeline.Image{Ref: "shop/web:2"}
				web.Resources.Memory = 1536 << 20
				web.Tmpfs = []string{"/run "}
				web.Env = map[string]string{"LOG_LEVEL": "in\nfo", "PORT": ""}
			}),
			Hosts: running(edited(func(r *pipeline.Release, web *pipeline.Service) {
				r.Number, r.Retain, web.Resources.Memory = 41, 5, 1500<<20
			})),
		},
		"promoted anew": {Desired: edited(func(*pipeline.Release, *pipeline.Service) {}), Promotes: true, Hosts: running(shop())},
		"held":          {Desired: shop(), Hosts: holding(running(shop()))},
		"held and repaired": {
			Desired: edited(func(r *pipeline.Release, _ *pipeline.Service) {
				r.Number, r.Images["web"] = 43, pipeline.ReleaseImage{Digest: digestB}
			}),
			Hosts: holding(running(shop())),
		},
		"hosts differ": {
			Desired: edited(func(r *pipeline.Release, web *pipeline.Service) {
				r.Number = 0
				web.Update = pipeline.Update{Strategy: pipeline.StrategyCanary, Canary: 1, MaxParallelPct: 50}
				r.Images["web"] = pipeline.ReleaseImage{}
			}),
			Hosts: func() []Observed {
				old := edited(func(r *pipeline.Release, _ *pipeline.Service) { r.Number = 40 })
				hosts := append(running(shop()), Observed{Name: "p3"})
				hosts[1].Current = &old
				return hosts
			}(),
		},
	}
}

// planned is New with deploy/strategy's answers.
func planned(in Input) *Plan {
	in.Foresee = func(s *pipeline.Service, changed []Placed, count int) Outlook {
		var instances []strategy.Instance
		for _, p := range changed {
			instances = append(instances, strategy.Instance(p))
		}
		return Outlook(strategy.Foresee(s, instances, count))
	}
	return New(in)
}

func TestRender(t *testing.T) {
	for name, in := range plans() {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := planned(in).Render(&b, nil); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
			}
		})
	}
}

func TestRenderUsesTheStyle(t *testing.T) {
	var seen []Look
	style := func(look Look, text string) string {
		seen = append(seen, look)
		return "<" + text + ">"
	}
	var styled, plain strings.Builder
	p := planned(plans()["change"])
	if err := p.Render(&styled, style); err != nil {
		t.Fatal(err)
	}
	if err := p.Render(&plain, nil); err != nil {
		t.Fatal(err)
	}
	if got := strings.NewReplacer("<", "", ">", "").Replace(styled.String()); got != plain.String() {
		t.Errorf("style changes more than looks:\n%s", got)
	}
	for _, look := range []Look{LookChanged, LookAdded, LookDrift, LookFaint} {
		if !slices.Contains(seen, look) {
			t.Errorf("nothing has the look %q", look)
		}
	}
}

// TestPlanReadsBack holds the JSON form that scripts rely on.
func TestPlanReadsBack(t *testing.T) {
	p := planned(plans()["change"])
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back Plan
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	p.in = Input{}
	if !reflect.DeepEqual(*p, back) {
		t.Errorf("got %+v, want %+v", back, *p)
	}
	if strings.Contains(string(b), "v2") {
		t.Errorf("a secret's version shows: %s", b)
	}
}

func TestPending(t *testing.T) {
	drifted := running(shop())
	drifted[1].Drift = []pipeline.Drift{{Kind: "missing", Instance: "web/2"}}
	old := edited(func(r *pipeline.Release, _ *pipeline.Service) { r.Number = 40 })
	behind := running(shop())
	behind[1].Current = &old
	a, b := pipeline.Port{Name: "a", To: 1, Publish: 11}, pipeline.Port{Name: "b", To: 2}
	ported := func(ports ...pipeline.Port) pipeline.Release {
		return edited(func(_ *pipeline.Release, web *pipeline.Service) { web.Ports = ports })
	}
	published := edited(func(_ *pipeline.Release, web *pipeline.Service) { web.Ports = nil })
	for name, test := range map[string]struct {
		in   Input
		want bool
	}{
		"same":              {Input{Desired: shop(), Hosts: running(shop())}, false},
		"drift":             {Input{Desired: shop(), Hosts: drifted}, true},
		"a host is behind":  {Input{Desired: shop(), Hosts: behind}, true},
		"first":             {Input{Desired: shop(), Hosts: []Observed{{Name: "p1"}}}, true},
		"a port less":       {Input{Desired: published, Hosts: running(shop())}, true},
		"nothing to run":    {Input{Desired: pipeline.Release{}, Hosts: []Observed{{Name: "p1"}}}, true}, // that is a release, too
		"promoted again":    {Input{Desired: shop(), Promotes: true, Hosts: running(shop())}, false},
		"promoted anew":     {Input{Desired: edited(func(*pipeline.Release, *pipeline.Service) {}), Promotes: true, Hosts: running(shop())}, true},
		"ports exchanged":   {Input{Desired: ported(a, b), Hosts: running(ported(b, a))}, false},
		"only a new number": {Input{Desired: edited(func(*pipeline.Release, *pipeline.Service) {}), Hosts: running(shop())}, false},
	} {
		if got := planned(test.in).Pending; got != test.want {
			t.Errorf("%s: pending is %t", name, got)
		}
	}
}

// TestEveryFieldIsCompared fails when a field of a service is added whose
// change a plan would not show.
func TestEveryFieldIsCompared(t *testing.T) {
	skipped := []string{"Name", "Image", "At"} // the name is the key; the image's digest decides
	typ := reflect.TypeFor[pipeline.Service]()
	for i := range typ.NumField() {
		field := typ.Field(i)
		if slices.Contains(skipped, field.Name) {
			continue
		}
		before, after := pipeline.Service{}, pipeline.Service{}
		fill(reflect.ValueOf(&after).Elem().Field(i))
		if got := compareFields(before, after); len(got) == 0 {
			t.Errorf("a change of %s is not seen", field.Name)
		}
	}
}

// fill gives v some value that is not its zero value.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

// TestDriftTakesADeployment: mending what drifted runs tasks and verify commands
// as any deployment does, and the plan says so.
func TestDriftTakesADeployment(t *testing.T) {
	desired := edited(func(r *pipeline.Release, _ *pipeline.Service) {
		r.Tasks = []pipeline.Task{{Name: "migrate", Hook: "pre-deploy"}, {Name: "report"}}
	})
	in := Input{Desired: desired, Hosts: running(desired), Verify: []string{"smoke"}}
	in.Hosts[0].Drift = []pipeline.Drift{{Kind: "missing", Instance: "web/1", Detail: "its container is gone"}}
	var out strings.Builder
	if err := planned(in).Render(&out, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "and what these need: task migrate, verify smoke.") {
		t.Errorf("it does not say what else runs:\n%s", out.String())
	}
}

// TestAHostThatLeavesShows has a host leave whose instance runs on another one
// already: nothing else changes, and the plan is not empty.
func TestAHostThatLeavesShows(t *testing.T) {
	service := pipeline.Service{Name: "web", Mode: pipeline.ModeReplicated, Count: 1}
	release := func(number int, placement map[string][]string) pipeline.Release {
		return pipeline.Release{Project: "shop", Environment: "prod", Number: number, Services: []pipeline.Service{service}, Placement: placement}
	}
	before := release(1, map[string][]string{"p1": {"web/1"}, "p2": {"web/2"}})
	p := New(Input{
		Desired: release(2, map[string][]string{"p1": {"web/1"}}),
		Hosts:   []Observed{{Name: "p1", Current: &before}},
	})
	if !p.Pending || !slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Action != Keep }) {
		t.Errorf("pending %t, and the changes are %+v", p.Pending, p.Changes)
	}
}
