package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dray/pipeline"
)

// TestShutdown takes the host down in order, with an agent that lives, with one
// that is started in the middle, and with one that was killed before. What ran
// runs again: once the shutdown is taken back, and after the next boot.
func TestShutdown(t *testing.T) {
	boot := booted(t, 2, t.TempDir())
	if boot == 0 {
		return
	}
	h := newHost(t)
	h.stays = boot < 2
	runs := func() bool { return serving(h, 1) == 3 }
	if boot == 2 {
		h.until("all serves after the boot", runs)
		return
	}
	if err := withDatabase(newRollout("d1", 1, h.push("one"))).run(h); err != nil {
		t.Fatal(err)
	}
	h.until("all serves", runs)
	h.drayd("shutdown")
	endedInOrder(t)

	h.client.CloseIdle()
	_ = h.agent.Wait()
	h.startAgent() // as a service manager might
	h.until("an agent in the middle says so", func() bool {
		_, err := h.client.Host(context.Background())
		return err != nil && strings.Contains(err.Error(), "this host goes down")
	})
	h.drayd("resume")
	h.until("all serves again", runs)

	h.kill()
	h.drayd("shutdown")
	endedInOrder(t)
	h.startAgent() // for the end of the test
}

// drayd runs a verb.
func (h *testHost) drayd(verb string) {
	h.t.Helper()
	began := time.Now()
	out, err := exec.Command(filepath.Join(os.Getenv(programs), "drayd"), verb).CombinedOutput()
	if err != nil {
		h.t.Fatalf("drayd %s: %v\n%s\nthe agent's log:\n%s", verb, err, out, h.log.String())
	}
	h.t.Logf("drayd %s: %s\n%s", verb, time.Since(began), out)
}

// withDatabase has the instances of web say how they end, and take their time,
// and adds a service that keeps data.
func withDatabase(d *rollout) *rollout {
	says := func(name string) []string {
		return []string{"/bin/busybox", "sh", "-c", "trap '/bin/busybox sleep 0.3; echo " + name + " ended in order; kill %1; exit 0' TERM; " +
			"/serve & while :; do wait; done"}
	}
	web := &d.r.Services[0]
	web.Stop = pipeline.Stop{Grace: pipeline.Duration(20 * time.Second)}
	web.Entrypoint, web.Restart.Policy = says("web"), pipeline.RestartOnFailure
	db := *web
	db.Name, db.Count, db.Entrypoint = "db", 1, says("db")
	db.Ports = []pipeline.Port{{Name: "http", To: 8080, Protocol: "tcp"}}
	db.Volumes = []pipeline.Volume{{Name: "data", Destination: "/data"}}
	d.r.Services = append(d.r.Services, db)
	d.r.Images["db"] = d.r.Images["web"]
	d.r.Placement["p1"] = append(d.r.Placement["p1"], "db/1")
	return d
}

// endedInOrder reads how the containers ended last: web before db.
func endedInOrder(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(stateFolder, "containers", "*", "logs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]string{}
	ended := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			at, said, _ := strings.Cut(line, " ")
			for _, name := range []string{"web", "db"} {
				if strings.Contains(said, name+" ended in order") {
					ended++
					last[name] = max(last[name], at)
				}
			}
		}
	}
	if ended%3 != 0 || last["web"] == "" || last["db"] == "" || last["web"] >= last["db"] {
		t.Errorf("%d containers said how they ended, the last of each at %v", ended, last)
	}
}
