package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

func TestRevisionOf(t *testing.T) {
	for name, c := range map[string]struct {
		known [][]string // by host
		want  int
	}{
		"never here":                {[][]string{{}, nil}, 0},
		"the first again":           {[][]string{{"mine"}, {"mine"}}, 0},
		"another one":               {[][]string{{"other"}, {"other"}}, 1},
		"an earlier one":            {[][]string{{"mine", "other"}, {"mine", "other"}}, 0},
		"the newest that is alike":  {[][]string{{"mine", "other", "mine"}}, 2},
		"a host is new":             {[][]string{{}, {"other", "mine"}}, 1},
		"a host was left out":       {[][]string{{"other", "", "other"}, {"other", "mine"}}, 1},
		"hosts were left out by":    {[][]string{{"other", "mine"}, {"other", "else"}}, 2},
		"hosts do not know as much": {[][]string{{"other"}, {"other", "else", "else"}}, 3},
	} {
		if got := revisionOf("mine", c.known); got != c.want {
			t.Errorf("%s: revision %d, want %d", name, got, c.want)
		}
	}
}

// knowing is a fleet of hosts that know these things of prod, and of what came
// under number 42.
func knowing(t *testing.T, envs map[string]*api.Environment, contents map[string][]string) *Fleet {
	t.Helper()
	f := &Fleet{Project: "shop", Environment: "prod", parallel: 2}
	for _, name := range sortedKeys(envs) {
		mux := http.NewServeMux()
		mux.HandleFunc(api.RouteEnvironment, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(envs[name]) })
		mux.HandleFunc(api.RouteRevisions, func(w http.ResponseWriter, r *http.Request) {
			list := []string{}
			if r.PathValue("number") == "42" {
				list = append(list, contents[name]...)
			}
			_ = json.NewEncoder(w).Encode(list)
		})
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		client := api.NewClient(func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
		}, api.Actor{User: "mira"})
		t.Cleanup(client.CloseIdle)
		f.hosts = append(f.hosts, &Host{Name: name, Client: client})
	}
	return f
}

func configured(number, revision int, level string) pipeline.Release {
	return pipeline.Release{
		Project: "shop", Environment: "prod", Number: number, Revision: revision,
		Services:  []pipeline.Service{{Name: "web", Env: map[string]string{"LEVEL": level}}},
		Placement: map[string][]string{"p1": {"web/1"}, "p2": {"web/2"}},
	}
}

// TestPreview names releases as prod's hosts would.
func TestPreview(t *testing.T) {
	info, debug := configured(42, 0, "info"), configured(42, 1, "debug")
	place := func(*pipeline.Release, map[string][]string) (map[string][]string, error) { return info.Placement, nil }
	on := func(current pipeline.Release) *api.Environment {
		return &api.Environment{Current: &current, LastNumber: 45}
	}
	came := []string{info.ContentHash(), debug.ContentHash()}
	for name, c := range map[string]struct {
		p1, p2 *api.Environment
		came   []string
		level  string
		number int
		want   string
	}{
		"an own number is a new one":       {on(debug), on(debug), came, "debug", 0, "46"},
		"a number that never was here":     {on(debug), on(debug), came, "info", 43, "43"},
		"the first that ever came":         {&api.Environment{}, &api.Environment{}, nil, "info", 42, "42"},
		"what runs":                        {on(debug), on(debug), nil, "debug", 42, "42.1"},
		"what ran before":                  {on(debug), on(debug), came, "info", 42, "42"},
		"another configuration":            {on(debug), on(debug), came, "warn", 42, "42.2"},
		"an own number met one that came":  {on(configured(42, 0, "warn")), on(configured(42, 0, "warn")), came[:1], "debug", 42, "42.1"},
		"the same under another number":    {on(configured(41, 0, "warn")), on(configured(41, 0, "warn")), nil, "warn", 42, "42"},
		"it runs on one of the hosts only": {on(debug), on(info), came, "debug", 42, "42.1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := knowing(t, map[string]*api.Environment{"p1": c.p1, "p2": c.p2}, map[string][]string{"p1": c.came, "p2": c.came})
			r := configured(c.number, 0, c.level)
			r.Placement = nil
			got, err := f.Preview(t.Context(), r, place)
			if err != nil || got.ReleaseNumber().String() != c.want || len(got.Placement) != 2 {
				t.Errorf("it would be release %s in %v (%v), want %s", got.ReleaseNumber(), got.Placement, err, c.want)
			}
		})
	}
	t.Run("what was there keeps its name", func(t *testing.T) {
		f := knowing(t, map[string]*api.Environment{"p1": on(info)}, map[string][]string{"p1": came})
		got, err := f.Preview(t.Context(), configured(42, 7, "debug"), place)
		if err != nil || got.ReleaseNumber().String() != "42.7" {
			t.Errorf("it would be %s (%v)", got.ReleaseNumber(), err)
		}
	})
}

func TestUnchanged(t *testing.T) {
	info := configured(42, 1, "info")
	sees := func(kind string, r pipeline.Release, envs ...*api.Environment) *deployment {
		d := &deployment{Request: Request{Deployment: pipeline.Deployment{Kind: kind, Release: r}}, before: map[string]*api.Environment{}}
		for i, env := range envs {
			d.before[string(rune('a'+i))] = env
		}
		return d
	}
	runs := func(r pipeline.Release, drift ...api.Drift) *api.Environment {
		return &api.Environment{Current: &r, Drift: drift}
	}
	for name, c := range map[string]struct {
		d    *deployment
		want string
	}{
		"it runs":                 {sees(pipeline.KindPromote, configured(42, 1, "info"), runs(info), runs(info)), "42.1"},
		"a new number for it":     {sees(pipeline.KindDeploy, configured(43, 0, "info"), runs(info), runs(info)), "42.1"},
		"promoted as another":     {sees(pipeline.KindPromote, configured(43, 0, "info"), runs(info), runs(info)), ""},
		"another configuration":   {sees(pipeline.KindPromote, configured(42, 2, "debug"), runs(info), runs(info)), ""},
		"drift":                   {sees(pipeline.KindPromote, configured(42, 1, "info"), runs(info), runs(info, api.Drift{})), ""},
		"one host is behind":      {sees(pipeline.KindPromote, configured(42, 1, "info"), runs(info), runs(configured(42, 0, "debug"))), ""},
		"hosts name it in 2 ways": {sees(pipeline.KindPromote, configured(42, 1, "info"), runs(info), runs(configured(42, 0, "info"))), ""},
		"nothing runs":            {sees(pipeline.KindDeploy, configured(1, 0, "info"), &api.Environment{}), ""},
	} {
		n, same := c.d.unchanged()
		if same != (c.want != "") || (same && n.String() != c.want) {
			t.Errorf("%s: unchanged %t as %s, want %q", name, same, n, c.want)
		}
	}
}

// TestApprovalMustFit refuses an approval that was given for another name than
// the one that the release gets under the lease.
func TestApprovalMustFit(t *testing.T) {
	approved := func(number, revision int) *api.Approval {
		return &api.Approval{ReleaseRef: api.ReleaseRef{Release: number, Revision: revision}, By: api.Actor{User: "tom"}}
	}
	for _, c := range []struct {
		approval *api.Approval
		fits     bool
	}{{nil, true}, {approved(42, 1), true}, {approved(42, 0), false}, {approved(41, 1), false}} {
		d := &deployment{Fleet: &Fleet{Environment: "prod"}, Request: Request{Deployment: pipeline.Deployment{Release: configured(42, 1, "info"), Approval: c.approval}}}
		if err := d.unapproved(); (err == nil) != c.fits {
			t.Errorf("%+v: %v, want that it fits: %t", c.approval, err, c.fits)
		}
	}
}

// TestTheNewestReleasePlaces: a host that missed the newest release still claims
// what went elsewhere meanwhile, and must not be believed.
func TestTheNewestReleasePlaces(t *testing.T) {
	f := &Fleet{Project: "shop", Environment: "prod", Skipped: []string{"p3"}}
	at := func(number int, placement map[string][]string) *api.Environment {
		return &api.Environment{Current: &api.Release{Number: number, Placement: placement}}
	}
	got := f.previous(map[string]*api.Environment{
		"p1": at(1, map[string][]string{"p1": {"web/1", "web/2"}}),
		"p2": at(2, map[string][]string{"p2": {"web/1"}, "p3": {"web/3"}}),
		"p4": {},
	})
	want := map[string][]string{"p1": {"web/2"}, "p2": {"web/1"}, "p3": {"web/3"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestExpectationRefuses: who planned a deployment is asked under the lease, with
// what the hosts run then, and a no leaves everything as it is.
func TestExpectationRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p1, p2 := &fakeHost{name: "p1", before: first()}, &fakeHost{name: "p2", before: first()}
		request, no := shop(nil), errors.New("it moved")
		var asked []pipeline.Observed
		request.Expect = func(r pipeline.Release, hosts []pipeline.Observed) error {
			asked = hosts
			return no
		}
		_, err := fleetOf(t, event.Discard, p1, p2).Deploy(t.Context(), request)
		var failed *Error
		if !errors.As(err, &failed) || failed.Outcome != Refused || !errors.Is(err, no) || len(p1.did())+len(p2.did()) > 0 {
			t.Errorf("deploying: %v; then %v, %v", err, p1.did(), p2.did())
		}
		if len(asked) != 2 || asked[0].Name != "p1" || asked[1].Current.ReleaseNumber().Number != 1 {
			t.Errorf("it was asked about %+v", asked)
		}
	})
}
