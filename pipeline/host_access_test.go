package pipeline

import (
	"slices"
	"testing"
)

// TestHostAccess: what stays in its container needs nobody's leave, what reaches
// the host is named, and a word that nobody has thought about reaches it.
func TestHostAccess(t *testing.T) {
	r := &Release{
		Services: []Service{
			{
				Name: "web", Image: Image{Target: "web"}, Mode: ModeReplicated, Count: 2, Command: []string{"serve"}, Env: map[string]string{"A": "b"},
				Volumes: []Volume{{Name: "data", Destination: "/data"}}, Ports: []Port{{Name: "http", To: 80, Publish: 80}},
				Tmpfs: []string{"/tmp"}, ReadOnly: true, Init: true, CapDrop: []string{"ALL"}, Check: &Check{Type: CheckHTTP},
			},
			{Name: "agent", Volumes: []Volume{{Source: "/var/log", Destination: "/log", ReadOnly: true}}, CapAdd: []string{"SYS_ADMIN"}, Metadata: true, Security: Security{Runtime: "/usr/bin/crun"}},
		},
		Tasks: []Task{
			{Name: "backup", Volumes: []Volume{{Source: "/", Destination: "/host"}}},
			{Name: "migrate", Hook: "pre-deploy", Timeout: Duration(1), Schedule: "* * * * *", TimeZone: "UTC", Overlap: "skip"},
		},
	}
	want := []string{
		"service agent has /var/log of the host", `service agent has cap_add = ["SYS_ADMIN"]`, "service agent has metadata = true",
		`service agent has security = {"runtime":"/usr/bin/crun"}`,
		"task backup has / of the host",
	}
	if got := r.HostAccess(); !slices.Equal(got, want) {
		t.Errorf("it reaches the host by %q, want %q", got, want)
	}
	unknown := struct {
		Name string `json:"name"`
		New  bool   `json:"new"`
	}{"web", true}
	if got := reaches("service web", unknown, nil); !slices.Equal(got, []string{"service web has new = true"}) {
		t.Errorf("a new word reaches %q", got)
	}
}
