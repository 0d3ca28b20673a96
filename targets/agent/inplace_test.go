package agent

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"dray/pipeline"
	"dray/targets/api"
	"dray/targets/runtime"
)

// wholeService has every field of a service set, so that each can be changed.
func wholeService() pipeline.Service {
	s := service("web")
	s.Image = pipeline.Image{Target: "web"}
	s.Ports = []pipeline.Port{{Name: "http", To: 8080, Publish: 9001, Protocol: "tcp", Address: []string{"eth0"}, From: []string{"10.0.0.0/8"}}}
	s.Entrypoint, s.Command, s.Tmpfs, s.CapAdd, s.CapDrop = []string{"a"}, []string{"b"}, []string{"/t"}, []string{"NET_ADMIN"}, []string{"CHOWN"}
	s.Env, s.Labels = map[string]string{"A": "1"}, map[string]string{"l": "1"}
	s.Volumes = []pipeline.Volume{{Name: "data", Destination: "/data"}}
	s.Check.Command = []string{"true"}
	return s
}

// eachLeaf calls change for every field of v that holds no others, by its path
// ("Ports.Publish"), after it has given it another value, and puts it back.
func eachLeaf(path string, v reflect.Value, changed func(path string)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Type != reflect.TypeFor[pipeline.Pos]() {
				eachLeaf(strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), v.Field(i), changed)
			}
		}
		return
	case reflect.Pointer:
		eachLeaf(path, v.Elem(), changed)
		return
	case reflect.Slice:
		if v.Len() > 0 {
			eachLeaf(path, v.Index(0), changed)
			return
		}
	}
	was := reflect.ValueOf(v.Interface())
	switch v.Kind() {
	case reflect.String:
		if v.SetString(v.String() + "x"); path == "Ports.From" {
			v.SetString("192.0.2.0/24")
		}
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"other": "1"}))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	default:
		panic("no other value for " + path)
	}
	changed(path)
	v.Set(was)
}

// shown says, for each field of a service that needs no new container, how the
// host shows it once a deployment is confirmed.
var shown = map[string]func(t *testing.T, w *world, r *running, want pipeline.Service){
	"Image.Target": recorded, "Image.Ref": recorded, // the digest decides what runs
	"Mode": recorded, "Count": gone,
	"Ports.Publish": routed, "Ports.Address": routed, "Ports.From": routed,
}

// recorded finds the service as it should be in the release that is current:
// what the next rollout, drain or revert reads.
func recorded(t *testing.T, _ *world, r *running, want pipeline.Service) {
	e := r.agent.environmentOf("shop", "prod")
	record, err := r.agent.read(e)
	if err != nil {
		t.Fatal(err)
	}
	current, err := r.agent.load(e, record.Current, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := current.release.Services[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("the host's current release has %+v, want %+v", got, want)
	}
}

// routed finds the published ports in the kernel, and no others.
func routed(t *testing.T, w *world, _ *running, want pipeline.Service) {
	route := w.routes["web"]
	if !reflect.DeepEqual(route.Ports, want.Ports) || len(route.Backends) != 1 || !reflect.DeepEqual(route.Backends[0].Ports, want.Ports) {
		t.Errorf("the kernel has %+v, want the ports %+v", route, want.Ports)
	}
	ports := slices.Sorted(maps.Keys(w.reserved))
	if !slices.EqualFunc(ports, want.Ports, func(port string, p pipeline.Port) bool { return publishes([]pipeline.Port{p}, port) }) {
		t.Errorf("the ports %v are held, want %+v", ports, want.Ports)
	}
}

// gone finds no instance of the service, and nothing behind its ports.
func gone(t *testing.T, w *world, _ *running, _ pipeline.Service) {
	if route := w.routes["web"]; len(route.Backends) > 0 {
		t.Errorf("the kernel has %+v, want no container", route)
	}
	for _, c := range w.containers {
		if c.State == runtime.Running {
			t.Errorf("%s still runs", c.Spec.Name)
		}
	}
}

func wholeRelease(number int, s pipeline.Service, instances ...string) api.Release {
	r := release(number, map[string]int{"web": 1}, "web/1")
	r.Services, r.Placement = []pipeline.Service{s}, map[string][]string{host: instances}
	return r
}

// TestWhatNeedsNoContainerShows deploys, for every field of a service whose
// change needs no new container, that change alone: when the deployment is
// confirmed the host shows it.
func TestWhatNeedsNoContainerShows(t *testing.T) {
	base := wholeService()
	of := func() string {
		r := wholeRelease(1, base, base.Name+"/1")
		return r.ContainerFingerprint(base.Name)
	}
	before := of()
	found := map[string]bool{}
	eachLeaf("", reflect.ValueOf(&base).Elem(), func(path string) {
		if of() != before {
			return
		}
		found[path] = true
		shows := shown[path]
		if strings.HasPrefix(path, "Update.") {
			shows = recorded
		}
		if shows == nil {
			t.Errorf("%s changes without a new container, and nothing says how a host shows it", path)
			return
		}
		changed := base
		changed.Ports = slices.Clone(base.Ports)
		t.Run(path, func(t *testing.T) { deployInPlace(t, path, changed, shows) })
	})
	for path := range shown {
		if !found[path] {
			t.Errorf("a change of %s makes a new container, or there is no such field", path)
		}
	}
}

func deployInPlace(t *testing.T, path string, changed pipeline.Service, shows func(*testing.T, *world, *running, pipeline.Service)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		defer r.stop()
		s := &sequence{t: t, id: "d1", r: wholeRelease(1, wholeService(), "web/1"), steps: roll("web/1")}
		if err := s.run(r); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.verified, w.created = 0, 0
		s = &sequence{t: t, id: "d2", r: wholeRelease(2, changed, "web/1")}
		if path == "Count" { // down to none
			changed.Count = 0
			s.r, s.steps = wholeRelease(2, changed), roll("web/1")[1:]
		}
		if err := s.run(r); err != nil {
			t.Fatal(err)
		}
		// At once: nothing that goes on afterwards makes it true.
		w.mu.Lock()
		if w.verified == 0 {
			t.Error("the kernel was not read back")
		}
		if w.created > 0 {
			t.Error("a container was made")
		}
		if path != "Count" {
			routed(t, w, r, changed)
		}
		w.mu.Unlock()
		shows(t, w, r, changed)
	})
}

// TestNotShownIsNotDone has the kernel not do what it was told: the deployment
// fails, and what was before is told to the kernel again.
func TestNotShownIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		defer r.stop()
		s := &sequence{t: t, id: "d1", r: wholeRelease(1, wholeService(), "web/1"), steps: roll("web/1")}
		if err := s.run(r); err != nil {
			t.Fatal(err)
		}
		w.unverified = errors.New("port tcp/9002 of service web leads nowhere")
		changed := wholeService()
		changed.Ports[0].Publish = 9002
		s = &sequence{t: t, id: "d2", r: wholeRelease(2, changed, "web/1")}
		if err := s.run(r); err == nil || !strings.Contains(err.Error(), "leads nowhere") {
			t.Fatalf("deploying: %v, want what the kernel does not do", err)
		}
		w.unverified = nil
		if _, err := r.Revert(t.Context(), "d2", api.Revert{Fence: s.fence}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		routed(t, w, r, wholeService())
	})
}

// TestRetireAfterConfirm asks for the old containers to be retired when the
// release is confirmed already, as a client does that retires beside a rollout.
func TestRetireAfterConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		s := &sequence{t: t, id: "d2", r: second, steps: noRetire(forward)}
		if err := s.begin(r); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Steps(t.Context(), "d2", api.Steps{Fence: s.fence, Steps: s.steps}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Confirm(t.Context(), "d2", api.Confirm{Fence: s.fence}); err != nil {
			t.Fatal(err)
		}
		late := api.Steps{Fence: s.fence, Steps: []api.Step{{Key: "late", Action: api.ActionRetire, Instances: []string{"old/1", "web/1"}}}}
		if _, err := r.Steps(t.Context(), "d2", late, nil); err != nil {
			t.Errorf("retiring: %v", err)
		}
		w.assertRelease(r, 2, second)
	})
}
