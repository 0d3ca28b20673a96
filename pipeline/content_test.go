package pipeline

import (
	"encoding/json"
	"testing"
)

func TestContent(t *testing.T) {
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
		if got := other.Content() != base.Content(); got != c.runs {
			t.Errorf("%s: another content: %t, want %t", name, got, c.runs)
		}
		if got := other.Approvable() != base.Approvable(); got != c.approvals {
			t.Errorf("%s: another thing to approve: %t, want %t", name, got, c.approvals)
		}
	}
	text, err := json.Marshal(base)
	var again Release
	if err != nil || json.Unmarshal(text, &again) != nil || again.Content() != base.Content() {
		t.Errorf("its content does not survive JSON: %s (%v)", text, err)
	}
}
