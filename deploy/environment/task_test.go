package environment

import (
	"maps"
	"slices"
	"testing"

	"dray/pipeline"
)

// TestTaskHost: a task by hand runs where its schedule and its hooks run,
// whatever the order of hosts in the file.
func TestTaskHost(t *testing.T) {
	w := newWorld(t, "web2", "web1")
	w.deploy(t, web("a", 2))
	h, err := w.opener.TaskHost(t.Context(), w.prod(), "migrate")
	if err != nil || h.Name != "web1" {
		t.Errorf("it runs on %+v (%v)", h, err)
	}
	w.on("web2", "web1", "app")
	w.add(t, "app")
	if h, err = w.opener.TaskHost(t.Context(), w.prod(), "migrate"); err != nil || h.Name != "web1" {
		t.Errorf("before a new host has the release it runs on %+v (%v)", h, err)
	}
	delete(w.hosts, "web1")
	if h, err = w.opener.TaskHost(t.Context(), w.prod(), "migrate"); err == nil {
		t.Errorf("its host can't be reached, and it runs on %s", h.Name)
	}
}

// TestSecretsGoWhereTheyAreNeeded: a host is given the values of what is placed
// there and of tasks that run there, and no others.
func TestSecretsGoWhereTheyAreNeeded(t *testing.T) {
	with := func(s pipeline.Service, names ...string) pipeline.Service {
		for _, name := range names {
			s.Secrets = append(s.Secrets, pipeline.Secret{Name: name, Env: name})
		}
		return s
	}
	w := newWorld(t, "p1", "p2", "p3")
	db := with(database(1), "DB_ROOT", "BOTH")
	app := with(web("a", 2), "API", "BOTH")
	w.prod().Services = map[string]*pipeline.Service{"db": &db, "web": &app}
	r := pipeline.Release{
		Retain: 5, Services: []pipeline.Service{db, app}, Images: map[string]pipeline.ReleaseImage{"db": {Digest: "sha256:d"}, "web": {Digest: "sha256:w"}},
		Tasks:   []pipeline.Task{{Name: "report", Secrets: []pipeline.Secret{{Name: "MAIL", Env: "MAIL"}}}},
		Secrets: map[string]string{"DB_ROOT": "v1", "API": "v2", "BOTH": "v3", "MAIL": "v4"},
	}
	values := map[string]string{"v1": "root", "v2": "api", "v3": "both", "v4": "mail"}
	done, err := w.open(t).Deploy(t.Context(), pipeline.Deployment{Kind: pipeline.KindDeploy, Release: r, Secrets: values})
	if err != nil {
		t.Fatal(err)
	}
	for host, placed := range done.Release.Placement {
		want := map[string]string{}
		for _, i := range placed {
			switch serviceOf(i) {
			case "db":
				want["v1"], want["v3"] = "root", "both"
			case "web":
				want["v2"], want["v3"] = "api", "both"
			}
		}
		if host == "p1" { // the first by name runs the tasks
			want["v4"] = "mail"
		}
		if got := w.hosts[host].prepares[0].Secrets; !maps.Equal(got, want) {
			t.Errorf("%s with %v is given %v, want %v", host, placed, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
}
