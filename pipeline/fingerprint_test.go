package pipeline

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestContentHash(t *testing.T) {
	fresh := func() Release {
		return Release{
			Number: 42, Images: map[string]ReleaseImage{"web": {Name: "shop/web", Digest: "sha256:aa"}},
			Services: []Service{{Name: "web", Env: map[string]string{"LEVEL": "info"}}}, Tasks: []Task{{Name: "migrate"}},
			Secrets: map[string]string{"KEY": "v1"}, Placement: map[string][]string{"p1": {"web/1"}}, Retain: 5,
		}
	}
	base := fresh()
	for name, c := range map[string]struct {
		change          func(*Release)
		runs, approvals bool // whether it is another thing to run, and to approve
	}{
		"nothing":         {func(*Release) {}, false, false},
		"the number":      {func(r *Release) { r.Number, r.Revision = 43, 1 }, false, false},
		"the author":      {func(r *Release) { r.By.User = "mira" }, false, false},
		"what is kept":    {func(r *Release) { r.Retain = 9 }, false, false},
		"an image's name": {func(r *Release) { r.Images["web"] = ReleaseImage{Name: "other", Digest: "sha256:aa"} }, false, false},
		"an idle host":    {func(r *Release) { r.Placement["p2"] = nil }, false, false},
		"an image":        {func(r *Release) { r.Images["web"] = ReleaseImage{Name: "shop/web", Digest: "sha256:bb"} }, true, true},
		"a variable":      {func(r *Release) { r.Services[0].Env["LEVEL"] = "debug" }, true, true},
		"an empty one":    {func(r *Release) { r.Services[0].Env["MORE"] = "" }, true, true},
		"a task":          {func(r *Release) { r.Tasks[0].Command = []string{"x"} }, true, true},
		"a secret":        {func(r *Release) { r.Secrets["KEY"] = "v2" }, true, false},
		"a place":         {func(r *Release) { r.Placement["p1"] = []string{"web/1", "web/2"} }, true, false},
	} {
		other := fresh()
		c.change(&other)
		if got := other.ContentHash() != base.ContentHash(); got != c.runs {
			t.Errorf("%s: another content: %t, want %t", name, got, c.runs)
		}
		if got := other.ApprovalHash() != base.ApprovalHash(); got != c.approvals {
			t.Errorf("%s: another thing to approve: %t, want %t", name, got, c.approvals)
		}
	}
	text, err := json.Marshal(base)
	var again Release
	if err != nil || json.Unmarshal(text, &again) != nil || again.ContentHash() != base.ContentHash() {
		t.Errorf("its content does not survive JSON: %s (%v)", text, err)
	}
}

// TestOrderSaysNothing holds that no answer depends on the order of blocks in
// the file, and that every other difference counts.
func TestOrderSaysNothing(t *testing.T) {
	fresh := func() *Release {
		return &Release{
			Number: 42, Images: map[string]ReleaseImage{"web": {Digest: "sha256:aa"}}, Secrets: map[string]string{"A": "v1", "B": "v2"},
			Services: []Service{{
				Name: "web", Ports: []Port{{Name: "a", To: 1}, {Name: "b", To: 2}}, Volumes: []Volume{{Name: "a", Destination: "/a"}, {Name: "b", Destination: "/b"}},
				Secrets: []Secret{{Name: "A", Env: "A"}, {Name: "B", Env: "B"}}, Tmpfs: []string{"/tmp", "/run"},
				CapAdd: []string{"NET_ADMIN", "SYS_TIME"}, CapDrop: []string{"CHOWN", "KILL"}, Command: []string{"serve", "--fast"},
				Resources: Resources{Memory: 1500 << 20},
			}},
			Tasks:     []Task{{Name: "migrate", Secrets: []Secret{{Name: "A", Env: "A"}, {Name: "B", Env: "B"}}}},
			Placement: map[string][]string{"p1": {"web/1", "web/2", "web/10"}},
		}
	}
	for name, change := range map[string]func(r *Release, s *Service){
		"ports":        func(_ *Release, s *Service) { slices.Reverse(s.Ports) },
		"volumes":      func(_ *Release, s *Service) { slices.Reverse(s.Volumes) },
		"secrets":      func(_ *Release, s *Service) { slices.Reverse(s.Secrets) },
		"tmpfs":        func(_ *Release, s *Service) { slices.Reverse(s.Tmpfs) },
		"cap_add":      func(_ *Release, s *Service) { slices.Reverse(s.CapAdd) },
		"cap_drop":     func(_ *Release, s *Service) { slices.Reverse(s.CapDrop) },
		"of a task":    func(r *Release, _ *Service) { slices.Reverse(r.Tasks[0].Secrets) },
		"of instances": func(r *Release, _ *Service) { slices.Reverse(r.Placement["p1"]) },
	} {
		a, b := fresh(), fresh()
		change(b, &b.Services[0])
		if !b.Same(a) || a.ApprovalHash() != b.ApprovalHash() || a.ContainerFingerprint("web") != b.ContainerFingerprint("web") {
			t.Errorf("the order of %s makes another release", name)
		}
	}
	for name, change := range map[string]func(s *Service){
		"the order of a command":        func(s *Service) { slices.Reverse(s.Command) },
		"memory that reads as the same": func(s *Service) { s.Resources.Memory = 1536 << 20 },
	} {
		a, b := fresh(), fresh()
		change(&b.Services[0])
		if b.Same(a) || a.ContainerFingerprint("web") == b.ContainerFingerprint("web") {
			t.Errorf("%s makes no other container", name)
		}
	}
}

// TestFingerprintsOfOlderReleases holds what hosts have on their disks: where
// the file's blocks are sorted, nothing gets another name.
func TestFingerprintsOfOlderReleases(t *testing.T) {
	r := &Release{
		Number: 1, Images: map[string]ReleaseImage{"web": {Digest: "sha256:aa"}}, Secrets: map[string]string{"KEY": "v1"},
		Services:  []Service{{Name: "web", Mode: ModeReplicated, Count: 2, Ports: []Port{{Name: "http", To: 80, Publish: 80, Protocol: "tcp"}}, Secrets: []Secret{{Name: "KEY", Env: "KEY"}}}},
		Placement: map[string][]string{"p1": {"web/1", "web/2"}, "p2": {}},
	}
	if got, want := r.ContentHash(), "sha256:355b90881b2d5d77e1b6490059585af3ce03880671ec6ee4ba348d73bbef0901"; got != want {
		t.Errorf("content %s, want %s", got, want)
	}
	if got, want := r.ContainerFingerprint("web"), "71b1c58e4b902b91a39e8bfa638ab1d2c75ff0d7dced4843dd7b094d5bb81ffc"; got != want || r.OrderedContainerFingerprint("web") != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
}

func TestRunsEverywhere(t *testing.T) {
	release := func(number int, level string) *Release {
		return &Release{Number: number, Services: []Service{{Name: "web", Env: map[string]string{"LEVEL": level}}}}
	}
	kept := release(7, "info")
	kept.Retain = 9
	for name, c := range map[string]struct {
		current []*Release
		want    int
	}{
		"no host":                   {nil, 0},
		"the same on all":           {[]*Release{release(7, "info"), release(7, "info")}, 7},
		"nothing on one":            {[]*Release{release(7, "info"), nil}, 0},
		"another on one":            {[]*Release{release(7, "info"), release(7, "debug")}, 0},
		"under two names":           {[]*Release{release(7, "info"), release(8, "info")}, 0},
		"other releases to be kept": {[]*Release{kept}, 0},
	} {
		n, same := release(0, "info").RunsEverywhere(c.current)
		if n.Number != c.want || same != (c.want > 0) {
			t.Errorf("%s: release %s, %t; want %d", name, n, same, c.want)
		}
	}
}
