package plan

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"dray/pipeline"
)

// saved is a plan of shop's next release, through its file.
func saved(t *testing.T, hosts []Observed) (*Saved, pipeline.Release) {
	t.Helper()
	desired := edited(func(r *pipeline.Release, web *pipeline.Service) {
		r.Images["web"] = pipeline.ReleaseImage{Name: "shop/web", Digest: digestB}
		web.Env["TOKEN"] = "in-the-file"
	})
	p := planned(Input{Desired: desired, Hosts: hosts})
	b, err := p.Save(Made{At: time.Unix(1, 0).UTC(), By: pipeline.Actor{User: "mira"}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"in-the-file", "LOG_LEVEL", "v1"} {
		if strings.Contains(string(b), hidden) {
			t.Errorf("the file has %q in it:\n%s", hidden, b)
		}
	}
	s, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Steps) != 4 || s.Steps[0].Instance != "web/1" || s.Steps[0].Host != "p1" {
		t.Errorf("its steps are %v", s.Steps)
	}
	return s, desired
}

func TestSavedPlanHolds(t *testing.T) {
	drifted := running(shop())
	drifted[1].Drift = []pipeline.Drift{{Kind: "stopped", Instance: "web/2", Detail: "stopped 2h ago"}}
	for name, hosts := range map[string][]Observed{"running": running(shop()), "drifted": drifted, "the first": {{Name: "p1"}, {Name: "p2"}}} {
		s, desired := saved(t, hosts)
		desired.Created, desired.By = time.Now(), pipeline.Actor{User: "tom"}
		later := slices.Clone(hosts)
		for i := range later {
			for j := range later[i].Drift {
				later[i].Drift = []pipeline.Drift{later[i].Drift[j]}
				later[i].Drift[0].Detail = "stopped 3h ago"
			}
		}
		if err := s.Check(desired, later); err != nil {
			t.Errorf("%s: nothing has moved, and: %v", name, err)
		}
		if err := s.CheckRelease(&desired); err != nil {
			t.Errorf("%s: nothing has moved, and: %v", name, err)
		}
	}
}

// TestWhatMovesRefusesAPlan moves one thing each.
func TestWhatMovesRefusesAPlan(t *testing.T) {
	for name, c := range map[string]struct {
		release func(r *pipeline.Release)
		hosts   func(hosts []Observed) []Observed
		says    string
		early   bool // known before the hosts are asked
	}{
		"image":   {release: func(r *pipeline.Release) { r.Images["web"] = pipeline.ReleaseImage{Digest: digestA} }, says: "the image of web is a91e77d0c4f5; planned was 7d1c0f6e2b9a", early: true},
		"file":    {release: func(r *pipeline.Release) { r.Services[0].Env["TOKEN"] = "other" }, says: "the file, or a variable that it reads, says otherwise", early: true},
		"secret":  {release: func(r *pipeline.Release) { r.Secrets = map[string]string{"DATABASE_URL": "v2"} }, says: "a secret has another value", early: true},
		"retain":  {release: func(r *pipeline.Release) { r.Retain = 9 }, says: "retain is 9; planned was 0", early: true},
		"service": {release: func(r *pipeline.Release) { r.Services = append(r.Services, pipeline.Service{Name: "x"}) }, says: "the file, or a variable", early: true},
		"places": {release: func(r *pipeline.Release) {
			r.Placement = map[string][]string{"p1": {"web/1", "web/2"}, "p2": {"web/3", "web/4"}}
		}, says: "its instances would go to other hosts"},
		"number": {release: func(r *pipeline.Release) { r.Number = 43 }, says: "it would be release 43 by now, not 42"},
		"another release": {hosts: func(hosts []Observed) []Observed {
			r := edited(func(r *pipeline.Release, _ *pipeline.Service) { r.Number = 41; r.Revision = 1 })
			hosts[1].Current = &r
			return hosts
		}, says: "p2 runs release 41.1; the plan was made when it ran release 41"},
		"another one of that name": {hosts: func(hosts []Observed) []Observed {
			r := edited(func(r *pipeline.Release, _ *pipeline.Service) {
				r.Number = 41
				r.Images["web"] = pipeline.ReleaseImage{Digest: digestB}
			})
			hosts[1].Current = &r
			return hosts
		}, says: "p2 runs another release 41 than it did"},
		"nothing any more": {hosts: func(hosts []Observed) []Observed { hosts[0].Current = nil; return hosts }, says: "p1 runs nothing; the plan"},
		"drift": {hosts: func(hosts []Observed) []Observed {
			hosts[1].Drift = []pipeline.Drift{{Kind: "missing", Instance: "web/2"}}
			return hosts
		}, says: "web/2 is missing on p2"},
		"a host more": {hosts: func(hosts []Observed) []Observed { return append(hosts, Observed{Name: "p3"}) }, says: "p3 is a host of prod now"},
		"a host less": {hosts: func(hosts []Observed) []Observed { return hosts[:1] }, says: "p2 is no host of prod any more"},
	} {
		t.Run(name, func(t *testing.T) {
			s, desired := saved(t, running(shop()))
			desired.Images, desired.Services[0].Env = maps.Clone(desired.Images), maps.Clone(desired.Services[0].Env)
			hosts := running(shop())
			if c.release != nil {
				c.release(&desired)
			}
			if c.hosts != nil {
				hosts = c.hosts(hosts)
			}
			err := s.Check(desired, hosts)
			if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), "\n  - "+c.says) {
				t.Errorf("it says %v, want %q alone", err, c.says)
			}
			if hint := pipeline.HintOf(err); hint.Class != pipeline.Refused || !strings.Contains(hint.Next, "dray plan prod --out FILE") {
				t.Errorf("the hint is %+v", hint)
			}
			if early := s.CheckRelease(&desired) != nil; early != c.early {
				t.Errorf("it is known before the hosts are asked: %t", early)
			}
		})
	}
}

func TestWhatIsNoPlan(t *testing.T) {
	s, _ := saved(t, running(shop()))
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	whole := string(b)
	for name, c := range map[string]struct{ file, says string }{
		"nothing":       {"", "it is no saved plan"},
		"garbage":       {"\x00\x01", "it is no saved plan"},
		"other JSON":    {`{"v":1,"type":"plan"}`, "it is no saved plan"},
		"half of one":   {whole[:len(whole)/2], "it is no saved plan, or not all of one"},
		"two":           {whole + whole, "it is no saved plan, or not all"},
		"a newer one":   {strings.Replace(whole, `"dray_plan": 1`, `"dray_plan": 2`, 1), "it is a plan of format 2, and this dray reads format 1"},
		"unknown field": {strings.Replace(whole, `"dray_plan": 1`, `"dray_plan": 1, "force": true`, 1), "it is no whole plan"},
		"another image": {strings.ReplaceAll(whole, digestB, digestA), "it was changed after dray had written it"},
		"another host":  {strings.ReplaceAll(whole, "p2", "p9"), "it was changed after dray had written it"},
		"no sum":        {strings.Replace(whole, `"sum": "sha256:`, `"sum": "x`, 1), "it was changed"},
	} {
		if _, err := Decode([]byte(c.file)); err == nil || !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"dray_plan":1,"sum":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := Decode(b); err == nil && s.Format != SavedFormat {
			t.Errorf("a plan of format %d was read", s.Format)
		}
	})
}
