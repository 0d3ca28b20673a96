package run

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/secret"
)

// fakeEnvironment is an environment of which only the way back is asked.
type fakeEnvironment struct {
	Environment // what is not asked
	running     pipeline.Running
	kept        []pipeline.Release
	lacking     []string               // hosts that keep none of them
	placement   map[string][]string    // where instances would go; nil: where they were
	unheard     pipeline.ReleaseNumber // one that was never deployed
	did         string
	asked       pipeline.Deployment
	skipped     []string // which hosts of which environments
}

func (f *fakeEnvironment) Open(_ context.Context, env *pipeline.Environment, skip []string, _ event.Sink) (Environment, error) {
	f.skipped = append(f.skipped, fmt.Sprint(env.Name, skip))
	return f, nil
}
func (f *fakeEnvironment) Close()                                             {}
func (f *fakeEnvironment) Running(context.Context) (*pipeline.Running, error) { return &f.running, nil }
func (f *fakeEnvironment) Evidence(context.Context, *pipeline.Release) (*pipeline.Evidence, error) {
	return &pipeline.Evidence{}, nil
}
func (f *fakeEnvironment) Addresses() map[string]string { return map[string]string{"p1": "10.0.0.1"} }
func (f *fakeEnvironment) Before(_ context.Context, n pipeline.ReleaseNumber) (pipeline.ReleaseNumber, error) {
	if n == f.unheard {
		return pipeline.ReleaseNumber{}, nil
	}
	return pipeline.ReleaseNumber{Number: max(n.Number-1, 0)}, nil
}
func (f *fakeEnvironment) Abort(_ context.Context, base pipeline.ReleaseNumber) error {
	f.did = fmt.Sprint("take back ", base)
	return nil
}
func (f *fakeEnvironment) Releases(context.Context) ([]pipeline.Kept, error) {
	var out []pipeline.Kept
	for _, r := range f.kept {
		out = append(out, pipeline.Kept{Release: r, Lacking: f.lacking})
	}
	return out, nil
}
func (f *fakeEnvironment) Preview(_ context.Context, r pipeline.Release) (pipeline.Release, error) {
	if f.placement != nil {
		r.Placement = f.placement
	}
	return r, nil
}
func (f *fakeEnvironment) Deploy(_ context.Context, d pipeline.Deployment) (*pipeline.Deployed, error) {
	f.did, f.asked = fmt.Sprint(d.Kind, " ", d.Release.Number), d
	return &pipeline.Deployed{Release: d.Release}, nil
}

// TestRollbackFromWhatIsHeld: where a release failed and is held, the way back
// ends at the one that was confirmed before it.
func TestRollbackFromWhatIsHeld(t *testing.T) {
	confirmed := &pipeline.Release{Number: 41, Environment: "prod"}
	tests := []struct {
		running pipeline.Running
		number  int
		did     string
		ends    int // the release that runs then
	}{
		{pipeline.Running{Release: confirmed}, 0, "rollback 40", 40},
		{pipeline.Running{Release: confirmed, Paused: pipeline.ReleaseNumber{Number: 42}}, 0, "take back 41", 41},
		{pipeline.Running{Release: confirmed, Paused: pipeline.ReleaseNumber{Number: 42}}, 41, "take back 41", 41},
		{pipeline.Running{Release: confirmed, Paused: pipeline.ReleaseNumber{Number: 42}}, 39, "rollback 39", 39},
		{pipeline.Running{Paused: pipeline.ReleaseNumber{Number: 1}}, 0, "take back 0", 0},
	}
	for _, test := range tests {
		f := &fakeEnvironment{running: test.running, kept: []pipeline.Release{{Number: 41}, {Number: 40, Services: []pipeline.Service{{Name: "web"}}}, {Number: 39}}}
		r := &Runner{Project: &pipeline.Project{Environments: []*pipeline.Environment{{Name: "prod"}}}, Deployer: f, Sink: event.Discard}
		done, err := r.Rollback(t.Context(), "prod", Back{Release: pipeline.ReleaseNumber{Number: test.number}})
		if err != nil {
			t.Fatal(err)
		}
		if f.did != test.did || done.Release.Number != test.ends || done.Release.Environment == "" && test.ends == 0 {
			t.Errorf("holding %s, to %d: it does %q and ends at %+v, want %q, %d", test.running.Paused, test.number, f.did, done.Release, test.did, test.ends)
		}
	}
}

// TestRollbackPassesWhatIsTheSame: a release that was deployed again, to mend
// what had drifted, is nothing to go back to.
func TestRollbackPassesWhatIsTheSame(t *testing.T) {
	of := func(number int, config, host string) pipeline.Release {
		return pipeline.Release{Number: number, Environment: "prod", Services: []pipeline.Service{{Name: "web", Env: map[string]string{"V": config}}},
			Placement: map[string][]string{host: {"web/1"}}}
	}
	current := of(31, "b", "p1")
	for _, test := range []struct {
		kept []pipeline.Release
		did  string
		says string
	}{
		{[]pipeline.Release{current, of(30, "b", "p2"), of(29, "a", "p1")}, "rollback 29", ""},
		{[]pipeline.Release{current, of(30, "a", "p1"), of(29, "b", "p1")}, "rollback 30", ""},
		{[]pipeline.Release{current, of(30, "b", "p1")}, "", "release 29 is not kept"},
	} {
		f := &fakeEnvironment{running: pipeline.Running{Release: &current}, kept: test.kept}
		r := &Runner{Project: &pipeline.Project{Environments: []*pipeline.Environment{{Name: "prod"}}}, Deployer: f, Sink: event.Discard}
		_, err := r.Rollback(t.Context(), "prod", Back{})
		if f.did != test.did || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("it does %q (%v), want %q, %q", f.did, err, test.did, test.says)
		}
	}
}

// TestRollbackGivesWhatIsLacking: hosts that never had the release, or get other
// instances of it, are given the secrets that this machine has in those versions,
// and the images from the hosts that have them.
func TestRollbackGivesWhatIsLacking(t *testing.T) {
	old := pipeline.Release{Number: 40, Environment: "prod", Placement: map[string][]string{"p1": {"web/1"}}, Secrets: map[string]string{"DB": "v1", "API": "v2", "GONE": "v3"}}
	for name, c := range map[string]struct {
		lacking   []string
		placement map[string][]string
		values    map[string]string
	}{
		"all have it":        {nil, nil, nil},
		"a host is new":      {[]string{"p2"}, nil, map[string]string{"v1": "postgres"}},
		"it goes elsewhere":  {nil, map[string][]string{"p2": {"web/1"}}, map[string]string{"v1": "postgres"}},
		"a host has nothing": {nil, map[string][]string{"p1": {"web/1"}, "p2": {}}, nil},
	} {
		f := &fakeEnvironment{running: pipeline.Running{Release: &pipeline.Release{Number: 41}}, kept: []pipeline.Release{old}, lacking: c.lacking, placement: c.placement}
		r := &Runner{Project: &pipeline.Project{Environments: []*pipeline.Environment{{Name: "prod"}}}, Deployer: f, Sink: event.Discard,
			Secrets: func(_ context.Context, _ string, names []string) (map[string]string, map[string]string, error) {
				if slices.Contains(names, "GONE") {
					return nil, nil, &secret.MissingError{Names: []string{"GONE"}}
				}
				return map[string]string{"DB": "v1", "API": "v9"}, map[string]string{"v1": "postgres", "v9": "newer"}, nil
			}}
		if _, err := r.Rollback(t.Context(), "prod", Back{Release: pipeline.ReleaseNumber{Number: 40}}); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(f.asked.Secrets, c.values) || f.asked.Origin != "prod" {
			t.Errorf("%s: it is given %v from %q, want %v", name, f.asked.Secrets, f.asked.Origin, c.values)
		}
	}
}

// TestRollbackWithoutVerify: the verify commands are the newer release's.
func TestRollbackWithoutVerify(t *testing.T) {
	f := &fakeEnvironment{running: pipeline.Running{Release: &pipeline.Release{Number: 41}}, kept: []pipeline.Release{{Number: 40}}}
	env := &pipeline.Environment{Name: "prod", Verify: []pipeline.Verify{{Name: "smoke"}}}
	r := &Runner{Project: &pipeline.Project{Environments: []*pipeline.Environment{env}}, Deployer: f, Sink: event.Discard}
	for _, without := range []bool{false, true} {
		if _, err := r.Rollback(t.Context(), "prod", Back{Release: pipeline.ReleaseNumber{Number: 40}, NoVerify: without}); err != nil {
			t.Fatal(err)
		}
		if (f.asked.Verify == nil) != without {
			t.Errorf("without %t: it verifies: %t", without, f.asked.Verify != nil)
		}
	}
}

// TestRollbackFromOtherPlaces: what a rollback brought over other hosts has a
// revision of its own; the way back from it goes on where the release came from.
func TestRollbackFromOtherPlaces(t *testing.T) {
	was := pipeline.Release{Number: 31, Environment: "prod", Services: []pipeline.Service{{Name: "web"}}, Placement: map[string][]string{"p2": {"web/1"}}}
	current := was
	current.Revision, current.Placement = 1, map[string][]string{"p1": {"web/1"}}
	f := &fakeEnvironment{running: pipeline.Running{Release: &current}, kept: []pipeline.Release{current, was, {Number: 30}}, unheard: current.ReleaseNumber()}
	r := &Runner{Project: &pipeline.Project{Environments: []*pipeline.Environment{{Name: "prod"}}}, Deployer: f, Sink: event.Discard}
	if _, err := r.Rollback(t.Context(), "prod", Back{}); err != nil || f.did != "rollback 30" {
		t.Errorf("it does %q (%v)", f.did, err)
	}
}

// TestSkipIsOfWhatIsChanged: the environment that is promoted from answers with
// all of its hosts, or the gate would be passed without their word.
func TestSkipIsOfWhatIsChanged(t *testing.T) {
	running := &pipeline.Release{Number: 41, Environment: "test"}
	f := &fakeEnvironment{running: pipeline.Running{Release: running}}
	r := &Runner{Project: &pipeline.Project{Environments: []*pipeline.Environment{
		{Name: "test"}, {Name: "prod", Promotion: &pipeline.Promotion{From: "test"}},
	}}, Deployer: f, Sink: event.Discard, Skip: []string{"h1"}, Now: time.Now}
	if _, err := r.Promote(t.Context(), "", "prod"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"prod[h1]", "test[]"}; !slices.Equal(f.skipped, want) {
		t.Errorf("it leaves out %v, want %v", f.skipped, want)
	}
}
