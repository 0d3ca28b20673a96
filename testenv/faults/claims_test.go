package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dray/pipeline"
	"dray/targets/api"
	"dray/targets/runtime"
	"dray/testenv"
)

// claim asserts what must hold after a trial: recovery works, and then
// everything is whole, settled and tidy.
func (f *field) claim(ctx context.Context, t *testing.T, s *scene, tr trial, o *outcome, v *verbRun, old, version int) {
	t.Helper()
	if r := f.Run(ctx, "recover", tr.env); r.Code != 0 {
		t.Errorf("recovering: %s", r)
	}
	now := 0
	for _, host := range hostsOf[tr.env] {
		runs, err := f.whole(ctx, host, tr.env)
		if err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if now != 0 && runs != now {
			t.Errorf("%s runs version %d, and others %d", host, runs, now)
		}
		now = runs
		if err := eventually(ctx, 20*time.Second, "nothing is left behind", func() error { return f.tidy(ctx, host, tr.env) }); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	o.release = map[int]string{old: "old", version: "new"}[now]
	if o.release == "" {
		t.Errorf("version %d runs; before it was %d, and %d was brought", now, old, version)
	}
	f.exitIsRight(t, tr, *o, v)
	f.statusIs(ctx, t, tr.env, now)
}

// exitIsRight holds the exit code of the verb against what runs now.
func (f *field) exitIsRight(t *testing.T, tr trial, o outcome, v *verbRun) {
	t.Helper()
	want := map[int]string{0: "new", 1: "old", 3: "old", 5: "old", 4: o.release, 130: o.release}
	switch {
	case tr.fault.killed && o.exit == -1:
	case want[o.exit] != o.release || o.exit == 5:
		t.Errorf("it ended with %d, and the %s release runs", o.exit, o.release)
	case tr.fault.through && o.exit != 0:
		t.Errorf("it ended with %d for no reason", o.exit)
	case o.exit == 4 && !strings.Contains(v.out.String(), f.hostOf(tr.env).Name):
		t.Errorf("it ended with 4 and does not name the host")
	}
}

// whole looks that a host runs one release wholly, and gives its version.
func (f *field) whole(ctx context.Context, host, env string) (version int, err error) {
	var e *api.Environment
	err = eventually(ctx, 20*time.Second, "all instances run", func() error {
		if e, err = f.environment(ctx, host, env); err != nil {
			return err
		}
		switch {
		case e.Current == nil:
			return errors.Join(errStop, errors.New("it runs nothing"))
		case e.Deployment != nil:
			return errors.Join(errStop, fmt.Errorf("deployment %s is %s", e.Deployment.ID, e.Deployment.State))
		case e.Lease != nil:
			return fmt.Errorf("%s holds a lease", e.Lease.Holder.Command)
		case len(e.Drift) > 0:
			return fmt.Errorf("it has drifted: %+v", e.Drift)
		}
		return serving(e, host)
	})
	if e == nil || err != nil {
		return 0, err
	}
	version = versionOf(e.Current)
	for range 6 {
		says, err := get(ctx, f.Lab.Host(host), "/version")
		if err != nil {
			return version, err
		}
		if word, _, _ := strings.Cut(says, " "); word != strconv.Itoa(version) {
			return version, fmt.Errorf("version %s answers (%s, at %s), and the agent says that it is %d", word, says, clock(time.Now()), version)
		}
	}
	return version, nil
}

// serving says what keeps an instance that is placed on the host from serving.
func serving(e *api.Environment, host string) error {
	for _, instance := range e.Current.Placement[host] {
		i := slices.IndexFunc(e.Instances, func(s api.InstanceStatus) bool { return s.Instance == instance })
		if i < 0 {
			return fmt.Errorf("%s is missing", instance)
		}
		if s := e.Instances[i]; s.State != "running" || s.Health != api.HealthHealthy || !s.Serving {
			return fmt.Errorf("%s is %s, %s, serving %t", instance, s.State, s.Health, s.Serving)
		}
	}
	return nil
}

// tidy says what is left on a host that no release needs.
func (f *field) tidy(ctx context.Context, host, env string) error {
	e, err := f.environment(ctx, host, env)
	if err != nil {
		return err
	}
	ids, err := f.containers(ctx, host, append(e.Previous, e.Current.ReleaseNumber()))
	if err != nil {
		return err
	}
	h := f.Lab.Host(host)
	var running []string
	for id, runs := range ids {
		if runs {
			running = append(running, id)
		}
	}
	if want := len(e.Current.Placement[host]); len(running) != want {
		return fmt.Errorf("%d containers run; %d are placed there", len(running), want)
	}
	for _, folder := range []string{"var/lib/dray/containers", "run/dray/netns", "run/dray/containers"} {
		if err := onlyOf(inside(h, folder), ids); err != nil {
			return err
		}
	}
	for version := 1; version <= f.last; version++ {
		taken, err := portTaken(h, extraPort(version))
		if err != nil || taken != (version == versionOf(e.Current)) {
			return fmt.Errorf("the port of version %d is taken: %t (%w); version %d runs", version, taken, err, versionOf(e.Current))
		}
	}
	garbage, err := f.clients[host].Prune(ctx, api.Prune{DryRun: true})
	if err != nil {
		return err
	}
	if garbage.Snapshots > 0 || garbage.Blobs > 0 {
		return fmt.Errorf("the store keeps %+v that nothing needs", *garbage)
	}
	return nil
}

// containers lists a host's containers and which of them run; one that belongs
// to none of the releases is a fault.
func (f *field) containers(ctx context.Context, host string, releases []api.ReleaseNumber) (map[string]bool, error) {
	client, base := f.clients[host].HTTP()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/containers/json?all=1", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list []struct {
		ID     string `json:"Id"`
		State  string
		Labels map[string]string
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, c := range list {
		number, _, err := pipeline.ParseReleaseNumber(c.Labels[runtime.LabelRelease])
		if err != nil || !slices.Contains(releases, number) {
			return nil, fmt.Errorf("container %s of release %s is left; kept are %v", c.Labels[runtime.LabelInstance], c.Labels[runtime.LabelRelease], releases)
		}
		ids[c.ID] = c.State == "running"
	}
	return ids, nil
}

// onlyOf looks that every entry of a folder is of a container that exists.
func onlyOf(folder string, ids map[string]bool) error {
	entries, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, entry := range entries {
		if _, known := ids[entry.Name()]; !known {
			return fmt.Errorf("%s is left of a container that is gone", filepath.Join(filepath.Base(folder), entry.Name()))
		}
	}
	return nil
}

// statusOf is what dray status says of an environment.
type statusOf struct {
	Release  int
	Services map[string]string
	Notes    []string
	Hosts    []struct {
		Host, Error string
		State       *api.Environment
	}
}

func (f *field) status(ctx context.Context, env string) (statusOf, error) {
	r := f.Run(ctx, "status", env, "--json")
	var s statusOf
	if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil || r.Code != 0 {
		return s, fmt.Errorf("status: %w: %s", err, r)
	}
	return s, nil
}

// tellsTruth looks that dray status, with nothing recovered yet, names every
// host that is in doubt or can't be asked, and says of no host that it runs
// what it does not.
func (f *field) tellsTruth(ctx context.Context, t *testing.T, env string) {
	t.Helper()
	s, err := f.status(ctx, env)
	if err != nil {
		t.Error(err)
		return
	}
	for _, h := range s.Hosts {
		switch {
		case h.Error != "" || h.State.Deployment != nil:
			if !slices.ContainsFunc(s.Notes, func(note string) bool {
				hosts, _, _ := strings.Cut(note, ":")
				return slices.Contains(strings.Split(hosts, ", "), h.Host)
			}) {
				t.Errorf("status does not speak of %s, which is in doubt: %+v", h.Host, s)
			}
		case h.State.Current == nil:
			t.Errorf("status says that %s runs nothing", h.Host)
		default:
			says, err := get(ctx, f.Lab.Host(h.Host), "/version")
			if word, _, _ := strings.Cut(says, " "); err == nil && word != strconv.Itoa(versionOf(h.State.Current)) {
				again, err := f.environment(ctx, h.Host, env)
				if err == nil && again.Deployment == nil && again.Current.ReleaseNumber() == h.State.Current.ReleaseNumber() {
					t.Errorf("status says that %s runs version %d, and %s answers", h.Host, versionOf(h.State.Current), word)
				}
			}
		}
	}
}

// statusIs looks that dray status says that all is well with that version.
func (f *field) statusIs(ctx context.Context, t *testing.T, env string, version int) {
	t.Helper()
	s, err := f.status(ctx, env)
	if err != nil {
		t.Error(err)
		return
	}
	count := len(hostsOf[env]) * 2
	if s.Release == 0 || len(s.Notes) > 0 || s.Services["web"] != fmt.Sprintf("%d/%d healthy", count, count) {
		t.Errorf("status: release %d, %v, %v", s.Release, s.Services, s.Notes)
	}
	for _, h := range s.Hosts {
		if h.State == nil || versionOf(h.State.Current) != version {
			t.Errorf("status says of %s: %+v; version %d runs", h.Host, h, version)
		}
	}
}

// get asks a host's published port once.
func get(ctx context.Context, h *testenv.Host, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.Addr+path, nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return strings.TrimSpace(string(b)), err
}
