package ui

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dray/deploy/environment"
	"dray/pipeline"
	"dray/targets/api"
)

// TestListsFit draws what verbs list on a terminal of the usual width, and
// completely on a pipe.
func TestListsFit(t *testing.T) {
	inUTC(t)
	at := time.Date(2026, 11, 22, 10, 2, 11, 0, time.UTC)
	digest := "sha256:" + strings.Repeat("7d1c0f6e", 8)
	web := api.InstanceStatus{Instance: "web/1", ReleaseRef: api.ReleaseRef{Release: 42, Revision: 1}, State: "running", Started: at, Health: api.HealthUnhealthy, Serving: true, Restarts: 12, Address: "10.209.100.200", Image: digest}
	view := environment.HostStatus{Environment: "prod", Host: "prod-eu-1", State: &api.Environment{Current: &api.Release{Number: 42}, Instances: []api.InstanceStatus{web}}}
	record := api.Record{ReleaseRef: web.ReleaseRef, FromRef: api.FromRef{From: 41}, Kind: "rollback", Result: "confirmed", Started: at, Ended: at.Add(time.Minute), Actor: api.Actor{User: "mira", Machine: "laptop-of-mira"}, Source: pipeline.Source{Commit: strings.Repeat("3f9c2e1", 4), Dirty: true}, Reason: "web/1 of release 42 did not become healthy on prod-eu-1: connection refused"}
	host := api.Host{OS: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0-28-cloud-amd64", Arch: "amd64", CPUs: 16, MemoryFree: 64e9, DiskFree: 640e9, CgroupVersion: 2, Limits: []string{"cpu", "memory", "pids"}, StartsAtBoot: true, Version: "0.1.0-12-g8d6e582"}
	task := api.TaskStatus{Name: "migrate", Next: at, Runs: []api.TaskRun{{ID: "00000012", Started: at, Ended: at, Trigger: "schedule"}, {ID: "00000011", Started: at}}}
	tasks := taskTable([]environment.Task{{Name: "never-run"}, {Name: task.Name, Next: task.Next, Runs: []environment.TaskRun{
		{TaskRun: task.Runs[0], Host: "prod-eu-1"}, {TaskRun: task.Runs[1], Host: "prod-eu-1"},
	}}}, false)
	for name, list := range map[string]*Table{
		"ps": containerTable([]environment.HostStatus{view}, false), "history": historyTable([]environment.HistoryLine{{Record: record, Hosts: []string{"prod-eu-1", "prod-eu-2"}}}),
		"host check": hostTable([]HostReport{{Name: "prod-eu-1", Host: &host}}), "task list": tasks,
	} {
		t.Run(name, func(t *testing.T) {
			for line := range strings.Lines(list.Text(80)) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
					t.Errorf("a line of %d columns: %s", n, line)
				}
			}
			whole := list.Text(0)
			for _, row := range append([][]string{list.Header}, list.Rows...) {
				for _, cell := range row {
					if !strings.Contains(whole, cell) {
						t.Errorf("a pipe does not get %q:\n%s", cell, whole)
					}
				}
			}
		})
	}
	if text := tasks.Text(0); !aligned(text) {
		t.Errorf("columns shift:\n%s", text)
	}
}

// aligned says that each column begins at one place.
func aligned(text string) bool {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for at := range lines[0] {
		if at == 0 || lines[0][at] == ' ' || lines[0][at-1] != ' ' || lines[0][at-2] != ' ' {
			continue
		}
		for _, line := range lines[1:] {
			if at >= len(line) || line[at] == ' ' || line[at-1] != ' ' {
				return false
			}
		}
	}
	return true
}

// TestSilentHosts: a host's name stands once beside why it is environment.Silent.
func TestSilentHosts(t *testing.T) {
	for text, want := range map[string]string{
		"p1 (deploy@p1:22): nothing listens there":                                             "nothing listens there (deploy@p1:22)",
		"p1 (p1.example.com) shows a host key that nobody has confirmed:\nED25519 SHA256:0mH2": "shows a host key that nobody has confirmed:\nED25519 SHA256:0mH2",
		"p1: no sudo":             "no sudo",
		"p1 is full":              "is full",
		"p10 (a): no":             "p10 (a): no",
		"gate (root@gate:22): no": "gate (root@gate:22): no",
	} {
		if got := environment.WithoutHost(text, "p1"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	var out bytes.Buffer
	if err := PrintContainers(&out, []environment.HostStatus{{Environment: "dev", Host: "p1", Error: "p1 (deploy@p1:22): nothing listens there"}}, false); err != nil {
		t.Fatal(err)
	}
	if _, rest, _ := strings.Cut(out.String(), "\n"); rest != fmt.Sprintln("! dev  p1: nothing listens there (deploy@p1:22)") {
		t.Errorf("ps says %q", rest)
	}
}

// TestTasksOfSilentHosts: a task without runs may have some on a host that could
// not be asked.
func TestTasksOfSilentHosts(t *testing.T) {
	if text := taskTable([]environment.Task{{Name: "report"}}, true).Text(0); !strings.Contains(text, "not known") {
		t.Errorf("with a silent host:\n%s", text)
	}
}
