package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"dray/pipeline"
	"dray/targets/api"
)

// TestMissingBindSource: what a bind mount names and the host does not have is
// refused in prepare, by the volume's name, and not as a container that can't be
// started.
func TestMissingBindSource(t *testing.T) {
	there := t.TempDir()
	for _, tt := range []struct {
		name, source, want string
	}{
		{"there", there, ""},
		{"missing", filepath.Join(there, "srv/data"), filepath.Join(there, "srv/data") + ", which does not exist on this host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				a := w.boot(0)
				defer a.stop()
				r := release(1, map[string]int{"web": 1}, "web/1")
				r.Services[0].Volumes = []pipeline.Volume{{Name: "data", Source: tt.source, Destination: "/data"}}
				s := sequence{t: t, id: "d1", r: r}
				err := s.begin(a)
				var fault *api.Error
				if tt.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				if !errors.As(err, &fault) || fault.Code != api.CodeSource || fault.Volume != "data" || fault.Service != "web" || !strings.Contains(fault.Message, tt.want) {
					t.Fatalf("%+v", err)
				}
				if w.created != 0 {
					t.Error("a container was made")
				}
			})
		})
	}
}

// TestMissingBindSourceOfATask: a nightly task is looked at when it is deployed,
// not when it runs.
func TestMissingBindSourceOfATask(t *testing.T) {
	r := release(1, map[string]int{"web": 1}, "web/1")
	r.Tasks = []pipeline.Task{{Name: "backup", Volumes: []pipeline.Volume{{Name: "out", Source: filepath.Join(t.TempDir(), "none"), Destination: "/out"}}}}
	var fault *api.Error
	r.Placement[host] = append(r.Placement[host], "task.backup")
	if err := checkSources(&r, host, nil); !errors.As(err, &fault) || fault.Task != "backup" {
		t.Errorf("%v", err)
	}
	if err := checkSources(&r, "another", nil); err != nil {
		t.Errorf("on a host that does not run it: %v", err)
	}
}

// TestMissingConfinement: what the file asks for and the host does not have is
// refused, never left out.
func TestMissingConfinement(t *testing.T) {
	script := filepath.Join(t.TempDir(), "runtime")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho it is broken; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		security pipeline.Security
		want     string
	}{
		"nothing asked":   {pipeline.Security{NewPrivileges: true, Seccomp: pipeline.ProfileUnconfined, AppArmor: pipeline.ProfileUnconfined}, ""},
		"a runtime":       {pipeline.Security{Runtime: "/bin/true"}, ""},
		"no such runtime": {pipeline.Security{Runtime: script + "-none"}, "service web asks for the OCI runtime " + script + "-none, which does not work on this host"},
		"a broken one":    {pipeline.Security{Runtime: script}, "exit status 1"},
		"no such profile": {pipeline.Security{AppArmor: "no-such-profile"}, `service web asks for the AppArmor profile "no-such-profile"`},
	} {
		r := release(1, map[string]int{"web": 1}, "web/1")
		r.Services[0].Security = tt.security
		all, err := placedOn(&r, host)
		if err != nil {
			t.Fatal(err)
		}
		err = checkConfinement(t.Context(), &r, host, all)
		var fault *api.Error
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.want != "" && (!errors.As(err, &fault) || fault.Code != api.CodeSource || fault.Service != "web" || !strings.Contains(fault.Message, tt.want)):
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
