package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dray/testenv/load"
)

// traffic is what a host gets while releases change.
const (
	requests = 1000 // HTTP a second on kept connections, over all hosts
	fresh    = 150  // HTTP a second on a connection each, over all hosts
	heldOpen = 20   // TCP connections a host that stay open
	echoes   = 100  // UDP datagrams a second and host
)

// TestTraffic looks that deployments, promotions, rollbacks and canaries lose
// no request, cut no connection before its drain deadline, and lose no
// datagram of a flow.
func TestTraffic(t *testing.T) {
	f := newField(t)
	f.Write(t, map[string]string{
		"calm.hcl":   drainFor("60s", ""),
		"canary.hcl": drainFor("60s", "strategy = \"canary\"\n    canary = 1\n    auto_promote = true"),
	})
	run := func(file string, args ...string) {
		t.Helper()
		f.Dray(t, 0, append(args, append(vars(f.next()), "--file", file)...)...)
	}
	run("calm.hcl", deploy, "stage")
	run("calm.hcl", deploy, "three")
	for _, step := range []struct {
		name, file string
		args       []string
	}{
		{"deploy", "calm.hcl", []string{deploy, "three"}},
		{"promote", "calm.hcl", []string{promote, "stage", "three"}},
		{"canary", "canary.hcl", []string{deploy, "three"}},
		{"rollback", "calm.hcl", []string{rollback, "three"}},
	} {
		t.Run(step.name, func(t *testing.T) {
			runs := f.traffic(t)
			time.Sleep(time.Second) // some of it before
			run(step.file, step.args...)
			time.Sleep(2 * time.Second) // and after; the drain deadline is far
			for name, r := range runs {
				report := r.Stop()
				t.Logf("%s: %s", name, report)
				if report.Failed > 0 || report.Sent == 0 {
					t.Errorf("%s: %s", name, report)
				}
			}
		})
	}
}

// drainFor is the project with another drain time, and further words for the
// update block.
func drainFor(drain, words string) string {
	return strings.Replace(projectFile, `drain            = "2s"`, fmt.Sprintf("drain = %q\n    %s", drain, words), 1)
}

// traffic starts all clients on all hosts.
func (f *field) traffic(t *testing.T) map[string]*load.Run {
	t.Helper()
	runs := map[string]*load.Run{}
	for _, host := range hostsOf["three"] {
		addr := f.Lab.Host(host).Addr
		for kind, client := range map[string]load.Client{
			"fresh": &load.HTTP{URL: "http://" + addr + "/version", Rate: fresh / float64(len(hostsOf["three"]))},
			"http":  &load.HTTP{URL: "http://" + addr + "/version", Rate: requests / float64(len(hostsOf["three"])), KeepAlive: true},
			"held":  &load.Hold{Address: addr + ":80", Count: heldOpen, Rate: 2 * heldOpen, Exchange: load.HTTPExchange("/version")},
			"udp":   &load.UDP{Address: addr + ":7000", Rate: echoes, Timeout: 10 * time.Second},
		} {
			run, err := load.Start(context.WithoutCancel(t.Context()), client)
			if err != nil {
				t.Fatalf("%s of %s: %v", kind, host, err)
			}
			t.Cleanup(func() { run.Stop() })
			runs[host+" "+kind] = run
		}
	}
	return runs
}
