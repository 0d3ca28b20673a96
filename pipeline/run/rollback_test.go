package run

import (
	"context"
	"fmt"
	"testing"

	"dray/pipeline"
	"dray/pipeline/event"
)

// fakeEnvironment is an environment of which only the way back is asked.
type fakeEnvironment struct {
	Environment // what is not asked
	running     Running
	did         string
}

func (f *fakeEnvironment) Open(context.Context, *pipeline.Environment, event.Sink) (Environment, error) {
	return f, nil
}
func (f *fakeEnvironment) Close()                                    {}
func (f *fakeEnvironment) Running(context.Context) (*Running, error) { return &f.running, nil }
func (f *fakeEnvironment) Before(context.Context, pipeline.ReleaseNumber) (pipeline.ReleaseNumber, error) {
	return pipeline.ReleaseNumber{Number: 40}, nil
}
func (f *fakeEnvironment) TakeBack(_ context.Context, base pipeline.ReleaseNumber) error {
	f.did = fmt.Sprint("take back ", base)
	return nil
}
func (f *fakeEnvironment) Releases(context.Context) ([]pipeline.Release, error) {
	return []pipeline.Release{{Number: 41}, {Number: 40}, {Number: 39}}, nil
}
func (f *fakeEnvironment) Deploy(_ context.Context, d Deployment) (*Deployed, error) {
	f.did = fmt.Sprint(d.Kind, " ", d.Release.Number)
	return &Deployed{Release: d.Release}, nil
}

// TestRollbackFromWhatIsHeld: where a release failed and is held, the way back
// ends at the one that was confirmed before it.
func TestRollbackFromWhatIsHeld(t *testing.T) {
	confirmed := &pipeline.Release{Number: 41, Environment: "prod"}
	tests := []struct {
		running Running
		number  int
		did     string
		ends    int // the release that runs then
	}{
		{Running{Release: confirmed}, 0, "rollback 40", 40},
		{Running{Release: confirmed, Held: pipeline.ReleaseNumber{Number: 42}}, 0, "take back 41", 41},
		{Running{Release: confirmed, Held: pipeline.ReleaseNumber{Number: 42}}, 41, "take back 41", 41},
		{Running{Release: confirmed, Held: pipeline.ReleaseNumber{Number: 42}}, 39, "rollback 39", 39},
		{Running{Held: pipeline.ReleaseNumber{Number: 1}}, 0, "take back 0", 0},
	}
	for _, test := range tests {
		f := &fakeEnvironment{running: test.running}
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
