package run

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"dray/pipeline"
	"dray/pipeline/event"
)

// fakeEnvironment is an environment of which only the way back is asked.
type fakeEnvironment struct {
	Environment // what is not asked
	running     pipeline.Running
	kept        []pipeline.Release
	did         string
}

func (f *fakeEnvironment) Open(context.Context, *pipeline.Environment, event.Sink) (Environment, error) {
	return f, nil
}
func (f *fakeEnvironment) Close()                                             {}
func (f *fakeEnvironment) Running(context.Context) (*pipeline.Running, error) { return &f.running, nil }
func (f *fakeEnvironment) Addresses() map[string]string                       { return map[string]string{"p1": "10.0.0.1"} }
func (f *fakeEnvironment) Before(_ context.Context, n pipeline.ReleaseNumber) (pipeline.ReleaseNumber, error) {
	return pipeline.ReleaseNumber{Number: max(n.Number-1, 0)}, nil
}
func (f *fakeEnvironment) TakeBack(_ context.Context, base pipeline.ReleaseNumber) error {
	f.did = fmt.Sprint("take back ", base)
	return nil
}
func (f *fakeEnvironment) Releases(context.Context) ([]pipeline.Release, error) {
	return f.kept, nil
}
func (f *fakeEnvironment) Deploy(_ context.Context, d pipeline.Deployment) (*pipeline.Deployed, error) {
	f.did = fmt.Sprint(d.Kind, " ", d.Release.Number)
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
		{pipeline.Running{Release: confirmed, Held: pipeline.ReleaseNumber{Number: 42}}, 0, "take back 41", 41},
		{pipeline.Running{Release: confirmed, Held: pipeline.ReleaseNumber{Number: 42}}, 41, "take back 41", 41},
		{pipeline.Running{Release: confirmed, Held: pipeline.ReleaseNumber{Number: 42}}, 39, "rollback 39", 39},
		{pipeline.Running{Held: pipeline.ReleaseNumber{Number: 1}}, 0, "take back 0", 0},
	}
	for _, test := range tests {
		f := &fakeEnvironment{running: test.running, kept: []pipeline.Release{{Number: 41}, {Number: 40, Services: []pipeline.Service{{Name: "web"}}}, {Number: 39}}}
		r := &Runner{Project: &pipeline.Project{Environments: []*pipeline.Environment{{Name: "prod"}}}, Deployer: f, Sink: event.Discard}
		done, err := r.Rollback(t.Context(), "prod", Back{Release: pipeline.ReleaseNumber{Number: test.number}})
		if err != nil {
			t.Fatal(err)
		}
		if f.did != test.did || done.Release.Number != test.ends || done.Release.Environment == "" && test.ends == 0 {
			t.Errorf("holding %s, to %d: it does %q and ends at %+v, want %q, %d", test.running.Held, test.number, f.did, done.Release, test.did, test.ends)
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
