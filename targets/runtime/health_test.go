package runtime_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"dray/pipeline"
	"dray/targets/runtime"
)

func TestCheckOf(t *testing.T) {
	seconds := func(n int) pipeline.Duration { return pipeline.Duration(time.Duration(n) * time.Second) }
	for name, tt := range map[string]struct {
		of    *dockerspec.HealthcheckConfig
		shell []string
		want  *runtime.Check
	}{
		"no HEALTHCHECK":     {nil, nil, nil},
		"inherited, of none": {&dockerspec.HealthcheckConfig{}, nil, nil},
		"NONE":               {&dockerspec.HealthcheckConfig{Test: []string{"NONE"}}, nil, nil},
		"with Docker's defaults": {&dockerspec.HealthcheckConfig{Test: []string{"CMD", "up", "-q"}}, nil,
			&runtime.Check{Type: pipeline.CheckExec, Command: []string{"up", "-q"}, Interval: seconds(30), Timeout: seconds(30), Retries: 3}},
		"in shell form": {&dockerspec.HealthcheckConfig{Test: []string{"CMD-SHELL", "up || exit 1"}, Interval: 5 * time.Second, Timeout: time.Second, StartPeriod: time.Minute, Retries: 7}, nil,
			&runtime.Check{Type: pipeline.CheckExec, Command: []string{"/bin/sh", "-c", "up || exit 1"}, Interval: seconds(5), Timeout: seconds(1), StartPeriod: seconds(60), Retries: 7}},
		"with the image's shell": {&dockerspec.HealthcheckConfig{Test: []string{"CMD-SHELL", "up"}, Interval: -1}, []string{"/bin/bash", "-ec"},
			&runtime.Check{Type: pipeline.CheckExec, Command: []string{"/bin/bash", "-ec", "up"}, Interval: seconds(30), Timeout: seconds(30), Retries: 3}},
	} {
		if got := runtime.CheckOf(tt.of, tt.shell); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// TestHealthcheckOfTheImage: it is the container's check where nothing else is
// said, and "none" says no.
func TestHealthcheckOfTheImage(t *testing.T) {
	h := newHost(t)
	h.images.config.Config.Healthcheck = &dockerspec.HealthcheckConfig{Test: []string{"CMD", "false"}}
	own := &runtime.Check{Type: pipeline.CheckTCP, Port: 80}
	for name, tt := range map[string]struct{ given, want *runtime.Check }{
		"image": {nil, &runtime.Check{Type: pipeline.CheckExec, Command: []string{"false"}, Interval: pipeline.Duration(30e9), Timeout: pipeline.Duration(30e9), Retries: 3}},
		"own":   {own, own},
		"none":  {&runtime.Check{Type: pipeline.CheckNone}, nil},
	} {
		spec := sh(name, "sleep 60")
		spec.Check = tt.given
		c, err := h.Create(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c.Spec.Check, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, c.Spec.Check, tt.want)
		}
	}
}

// TestVolumesOfTheImageExist: a program finds the folders that its image names,
// and may write there; what is a file in the image stays one.
func TestVolumesOfTheImageExist(t *testing.T) {
	h := newHost(t)
	h.images.config.Config.Volumes = map[string]struct{}{"/data/deep": {}, "/etc/passwd": {}, "relative": {}, "/../../escape": {}}
	out, c := h.once(t, sh("volumes", "echo x >/data/deep/f && echo x >/relative/f && ls -d /escape && head -n 1 /etc/passwd"))
	if c.ExitCode != 0 || !strings.Contains(out, "root:x:0:0") {
		t.Errorf("code %d: %s", c.ExitCode, out)
	}
}

// TestEndIsAFailure: a container that is ended for a reason stays wanted, and
// says why it ended.
func TestEndIsAFailure(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("ill", "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"))
	h.awaitLine(t, c.ID, "ready")
	if err := h.End(t.Context(), c.ID, "it was unhealthy"); err != nil {
		t.Fatal(err)
	}
	c = h.wait(t, c.ID)
	if !c.Wanted || c.Error != "it was unhealthy" {
		t.Errorf("%+v", c)
	}
}
