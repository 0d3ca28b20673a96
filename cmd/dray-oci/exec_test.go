//go:build linux && cgo

package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestAddedCapabilitiesAreAmbientWhereSomeAreInheritable(t *testing.T) {
	for name, inheritable := range map[string][]string{"none": nil, "some": {"CAP_KILL"}} {
		p := &specs.Process{Capabilities: &specs.LinuxCapabilities{Inheritable: inheritable}}
		addCapabilities(p, []string{"CAP_CHOWN"})
		if got := slices.Contains(p.Capabilities.Ambient, "CAP_CHOWN"); got != (inheritable != nil) {
			t.Errorf("%s inheritable: ambient are %v", name, p.Capabilities.Ambient)
		}
		if !slices.Contains(p.Capabilities.Bounding, "CAP_CHOWN") {
			t.Errorf("%s inheritable: it is outside the bounding set", name)
		}
	}
}

func TestSubgroups(t *testing.T) {
	for given, want := range map[string]map[string]string{
		"":                      nil,
		"below":                 {"": "below"},
		"cpu,memory:a pids:b/c": {"cpu": "a", "memory": "a", "pids": "b/c"},
		"cpu:/":                 {"cpu": "/"},
		"cpu:a cpu:b":           nil,
		"cpu:a b":               nil,
		"cpu,:a":                nil,
	} {
		got, err := subgroups(strings.Fields(given))
		if !maps.Equal(got, want) || (err == nil) != (want != nil || given == "") {
			t.Errorf("%q gave %v, %v", given, got, err)
		}
	}
}

func TestActivatedSocketsAreOurOwnAlone(t *testing.T) {
	for pid, want := range map[string]int{strconv.Itoa(os.Getpid()): 2, "1": 0, "": 0} {
		t.Setenv("LISTEN_PID", pid)
		t.Setenv("LISTEN_FDS", "2")
		if got := activated(); got != want {
			t.Errorf("for process %q: %d", pid, got)
		}
	}
}

func TestRootlessCgroups(t *testing.T) {
	for text, want := range map[string]bool{"true": true, "1": true, "false": false} {
		if got, err := rootlessCgroups(values{"rootless": {text}}); err != nil || got != want {
			t.Errorf("--rootless %s gave %v, %v", text, got, err)
		}
	}
	if _, err := rootlessCgroups(values{"rootless": {"perhaps"}}); err == nil {
		t.Error("a word that says nothing is taken")
	}
}

// Without root: what is asked for and can't be had is an error.
func TestRefusals(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for args, want := range map[string]string{
		"--root " + missing + " list":   "no such file or directory",
		"--root / list":                 "must not be /",
		"update --l3-cache-schema x id": "flag provided but not defined",
		"checkpoint id":                 "unknown command",
	} {
		cmd := exec.Command(binary, strings.Fields(args)...)
		cmd.Dir = t.TempDir()
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, %s", args, err, out)
		}
	}
	if out, err := exec.Command(binary, "list").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "ID") {
		t.Errorf("list of the default root: %v, %s", err, out)
	}
}

func TestHelpNamesEachFlag(t *testing.T) {
	for name, v := range verbs() {
		out, err := exec.Command(binary, name, "-h").Output()
		if err != nil || !strings.HasPrefix(string(out), "NAME:\n   dray-oci "+name+" - ") {
			t.Errorf("%s: %v, %s", name, err, out)
		}
		for _, f := range v.flags {
			if !strings.Contains(string(out), "--"+f.name) {
				t.Errorf("help of %s lacks --%s", name, f.name)
			}
		}
	}
}

func TestSpecIsWrittenOnce(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command(binary, "spec", "--bundle", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || !strings.Contains(string(before), `"ociVersion"`) {
		t.Fatalf("%v: %s", err, before)
	}
	if _, err := exec.Command(binary, "spec", "--rootless", "--bundle", dir).CombinedOutput(); err == nil {
		t.Error("a configuration was overwritten")
	}
	if after, err := os.ReadFile(filepath.Join(dir, "config.json")); err != nil || string(after) != string(before) {
		t.Errorf("it changed: %v", err)
	}
}

func TestLinesOfPsAreThoseOfTheContainer(t *testing.T) {
	if err := printLines("UID COMMAND\nroot sh\n", []int{1}); err == nil {
		t.Error("a listing without pids is taken")
	}
	if err := printLines("PID CMD\nx sh\n", []int{1}); err == nil {
		t.Error("a pid that is no number is taken")
	}
}
