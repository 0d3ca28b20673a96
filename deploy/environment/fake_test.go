package environment

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"dray/deploy"
	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/api/apitest"
)

// world is hosts without machines: each answers as an agent does whose containers
// do at once what they are told to. That real ones do so is tried in testenv.
type world struct {
	project *pipeline.Project
	hosts   map[string]*fakeHost
	opener  *Opener

	onConnect func(*deploy.Host) // of tests that change a connection
}

// fakeHost keeps what an agent keeps.
type fakeHost struct {
	name   string
	key    string // its agent's public key
	absent bool   // dray was never there, and it is only looked at
	client *api.Client
	dial   api.Dialer

	mu       sync.Mutex
	env      api.Environment
	kept     []pipeline.Release // newest first
	history  []api.Record
	prepared *api.Prepare
	prepares []api.Prepare
	calls    []string   // that change it
	seen     *api.Actor // whom it takes the client for; nil: its agent is older than that
}

// newWorld makes a project with hosts of these names and an environment prod on
// all of them.
func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	w := &world{project: &pipeline.Project{Name: "shop", Hosts: map[string]*pipeline.Host{}}, hosts: map[string]*fakeHost{}}
	for _, name := range names {
		w.add(t, name)
	}
	w.project.Environments = []*pipeline.Environment{{Name: "prod", Hosts: names, Services: map[string]*pipeline.Service{}, Retain: 5}}
	w.opener = &Opener{
		Project: w.project, Connector: w, AgentKey: func(string) []byte { return nil }, Sink: event.Discard, Parallel: 4,
		Actor:  pipeline.Actor{User: "mira"},
		Images: func(pipeline.Release, Holders, event.Sink) (Offer, error) { return noOffer{}, nil },
	}
	return w
}

// add makes another host, without putting it into the environment.
func (w *world) add(t *testing.T, name string) *fakeHost {
	t.Helper()
	h := &fakeHost{name: name, key: "key of " + name}
	w.project.Hosts[name] = &pipeline.Host{Name: name}
	w.hosts[name] = h
	listener := apitest.Listen()
	server := &http.Server{Handler: h.handler()}
	go func() { _ = server.Serve(listener) }()
	h.dial = listener.Dial
	h.client = api.NewClient(listener.Dial, api.Actor{User: "mira"})
	t.Cleanup(func() { h.client.CloseIdle(); _ = server.Close() })
	return h
}

// on makes these the hosts of prod.
func (w *world) on(names ...string) { w.prod().Hosts = names }

func (w *world) prod() *pipeline.Environment { return w.project.Environments[0] }

// Connect is a deploy.Connector.
func (w *world) Connect(_ context.Context, host pipeline.Host, _ event.Sink) (*deploy.Host, error) {
	h := w.hosts[host.Name]
	switch {
	case h == nil:
		return nil, errors.New("nothing listens there")
	case h.absent:
		return nil, &ssh.SetupError{Host: host.Name, Detail: "dray was never here", Err: ssh.ErrAbsent}
	}
	out := &deploy.Host{Name: host.Name, Address: "10.0.0.1", Client: h.client, Dial: h.dial, Close: func() error { return nil }}
	if w.onConnect != nil {
		w.onConnect(out)
	}
	return out, nil
}

func (w *world) open(t *testing.T) *Environment {
	t.Helper()
	e, err := w.opener.Open(t.Context(), w.prod(), nil, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// deploy brings the services of prod under the next number.
func (w *world) deploy(t *testing.T, services ...pipeline.Service) *pipeline.Deployed {
	t.Helper()
	r := pipeline.Release{Retain: 5, Services: services, Images: map[string]pipeline.ReleaseImage{}}
	w.prod().Services = map[string]*pipeline.Service{}
	for i := range services {
		w.prod().Services[services[i].Name] = &services[i]
		r.Images[services[i].Name] = pipeline.ReleaseImage{Name: services[i].Name, Digest: "sha256:aaaa"}
	}
	done, err := w.open(t).Deploy(t.Context(), pipeline.Deployment{Kind: pipeline.KindDeploy, Release: r})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

type noOffer struct{}

func (noOffer) Sources(context.Context, pipeline.Host, string, string) []pipeline.ImageSource {
	return nil
}

func (noOffer) Lacking(context.Context, func(context.Context) (net.Conn, error), string, []string) (map[string]pipeline.Bytes, pipeline.Bytes, error) {
	return nil, 0, errors.New("no host is asked")
}

func (noOffer) Publish(context.Context, pipeline.Release, func(context.Context) ([]pipeline.Statement, error)) {
}

func (h *fakeHost) handler() http.Handler {
	mux := http.NewServeMux()
	value := func(route string, get func(*http.Request) any) {
		mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
			h.mu.Lock()
			defer h.mu.Unlock()
			_ = json.NewEncoder(w).Encode(get(r))
		})
	}
	value(api.RouteHost, func(*http.Request) any { return api.Host{PublicKey: []byte(h.key), Now: time.Now()} })
	value(api.RouteEnvironment, func(*http.Request) any { return h.env })
	value(api.RouteEnvironments, func(*http.Request) any { return []api.Environment{h.env} })
	value(api.RouteReleases, func(*http.Request) any { return h.kept })
	value(api.RouteHistory, func(*http.Request) any { return h.history })
	value(api.RouteRevisions, func(r *http.Request) any { return h.contents(r.PathValue("number")) })
	value(api.RouteAcquire, func(*http.Request) any { return api.Lease{Fence: 1} })
	value(api.RouteRenew, func(*http.Request) any { return api.Lease{Fence: 1} })
	mux.HandleFunc(api.RouteIdentity, func(w http.ResponseWriter, r *http.Request) {
		if h.seen == nil {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(h.seen)
	})
	mux.HandleFunc(api.RouteRelease, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	value(api.RouteConfirm, func(r *http.Request) any {
		var c api.Confirm
		_ = json.NewDecoder(r.Body).Decode(&c)
		if !c.Vote {
			h.confirm()
		}
		return api.Record{}
	})
	value(api.RouteApprove, func(r *http.Request) any {
		var a api.Approve
		_ = json.NewDecoder(r.Body).Decode(&a)
		h.calls = append(h.calls, "approve")
		h.env.Approvals = append(h.env.Approvals, api.Approval{ReleaseRef: a.ReleaseRef, Content: a.Content})
		return h.env.Approvals[len(h.env.Approvals)-1]
	})
	value(api.RouteFreeze, func(r *http.Request) any {
		var f api.SetFreeze
		_ = json.NewDecoder(r.Body).Decode(&f)
		h.env.Freeze = &api.Freeze{By: api.Actor{User: "mira", Machine: "ci-7"}, Reason: f.Reason}
		return h.env.Freeze
	})
	mux.HandleFunc(api.RouteUnfreeze, func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.env.Freeze = nil
		w.WriteHeader(http.StatusNoContent)
	})
	streamed(h, mux, api.RoutePrepare, func(p api.Prepare) any { return h.prepare(p) })
	streamed(h, mux, api.RouteSteps, func(api.Steps) any { return api.StepsResult{} })
	streamed(h, mux, api.RouteRevert, func(api.Revert) any { h.prepared = nil; return api.StepsResult{} })
	streamed(h, mux, api.RouteDown, func(api.Down) any { h.calls = append(h.calls, "down"); return api.DownResult{} })
	return mux
}

// streamed answers a call whose result comes last.
func streamed[T any](h *fakeHost, mux *http.ServeMux, route string, do func(T) any) {
	mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		var request T
		_ = json.NewDecoder(r.Body).Decode(&request)
		h.mu.Lock()
		defer h.mu.Unlock()
		result, _ := json.Marshal(do(request))
		_ = json.NewEncoder(w).Encode(api.StreamLine{Result: result})
	})
}

func (h *fakeHost) prepare(p api.Prepare) api.PrepareResult {
	h.prepared = &p
	h.prepares = append(h.prepares, p)
	var out api.PrepareResult
	for _, i := range p.Release.Placement[h.name] {
		out.Instances = append(out.Instances, api.InstanceStatus{Instance: i})
	}
	return out
}

// confirm makes what was prepared the current release.
func (h *fakeHost) confirm() {
	r := h.prepared.Release
	h.history = append([]api.Record{{Kind: h.prepared.Kind, ReleaseRef: api.RefTo(r.ReleaseNumber()), FromRef: api.RefFrom(h.env.Current.ReleaseNumber()), Result: api.StateConfirmed}}, h.history...)
	h.kept = slices.DeleteFunc(h.kept, func(k pipeline.Release) bool { return k.ReleaseNumber() == r.ReleaseNumber() })
	h.kept = append([]pipeline.Release{r}, h.kept...)
	h.env = api.Environment{Project: "shop", Name: "prod", Current: &r, LastNumber: max(h.env.LastNumber, r.Number), Since: time.Now(), Approvals: h.env.Approvals}
	for _, i := range r.Placement[h.name] {
		h.env.Instances = append(h.env.Instances, api.InstanceStatus{Instance: i, ReleaseRef: api.RefTo(r.ReleaseNumber()), State: "running", Health: api.HealthHealthy, Serving: true})
	}
}

// contents are those that came under a number, by revision.
func (h *fakeHost) contents(number string) []string {
	byRevision := map[int]string{}
	for _, r := range h.kept {
		if strconv.Itoa(r.Number) == number {
			byRevision[r.Revision] = r.ContentHash()
		}
	}
	out := []string{}
	for _, revision := range slices.Sorted(maps.Keys(byRevision)) {
		for len(out) <= revision {
			out = append(out, "")
		}
		out[revision] = byRevision[revision]
	}
	return out
}
