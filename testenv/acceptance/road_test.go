// Package acceptance tries dray as its users do: the built programs, real
// hosts with a real sshd each, real builds. Its tests run side by side, each
// with a world of its own: most of each is waiting.
package acceptance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"dray/testenv"
	"dray/testenv/load"
	"dray/testenv/world"
)

// TestTheExampleFromSourceToProd walks examples/web as the README does.
func TestTheExampleFromSourceToProd(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"d1", "t1", "p1", "p2"}})
	w.Example(t, "web")

	shipped := w.Dray(t, 0, "ship")
	if !strings.Contains(shipped.Stdout, "dev, test and prod run web ") {
		t.Errorf("the last line does not say what is true now: %s", shipped)
	}
	first := w.Status(t)
	digest := first["dev"].Images["web"]
	for _, env := range []string{"dev", "test", "prod"} {
		if s := first[env]; s.Release != 1 || s.Images["web"] != digest || len(s.Notes) > 0 {
			t.Errorf("%s: %+v, want release 1 with %s", env, s, digest)
		}
	}
	if got := first["prod"].Services["web"]; got != "4/4 healthy" {
		t.Errorf("prod: %q", got)
	}
	onlyOwnProcesses(t, w)

	t.Run("nothing to do", func(t *testing.T) {
		r := w.Dray(t, 0, "deploy", "dev")
		if !strings.Contains(r.Stdout, "Nothing to do") {
			t.Errorf("%s", r)
		}
	})
	t.Run("one change goes as far as it is sent", func(t *testing.T) {
		w.Replace(t, "page.html", "Carried here", "Carried over here")
		w.Dray(t, 0, "deploy", "dev")
		w.Dray(t, 5, "promote", "dev", "prod")
		refused := w.Dray(t, 5, "deploy", "prod")
		if !strings.Contains(refused.Stderr, "is not what test runs") || !strings.Contains(refused.Stderr, "prod is untouched and runs release 1") {
			t.Errorf("it does not say why: %s", refused)
		}
		w.Dray(t, 0, "promote", "dev", "test")
		now := w.Status(t)
		if now["dev"].Images["web"] == digest || now["dev"].Images["web"] != now["test"].Images["web"] {
			t.Errorf("dev and test: %+v", now)
		}
		if now["prod"].Images["web"] != digest || now["prod"].Release != 1 {
			t.Errorf("prod changed: %+v", now["prod"])
		}
	})
	t.Run("promotion and rollback lose no request", func(t *testing.T) {
		stop := watch(t, w, "p1", true)
		stopFresh := watch(t, w, "p2", false)
		w.Dray(t, 0, "promote", "prod")
		w.Dray(t, 0, "rollback", "prod")
		stop()
		stopFresh()
		if got := w.Status(t)["prod"]; got.Images["web"] != digest || got.Release != 1 {
			t.Errorf("after the rollback: %+v", got)
		}
	})
	t.Run("down leaves nothing", func(t *testing.T) {
		w.Dray(t, 0, "down", "--yes", "dev")
		if _, err := get("http://" + w.Lab.Host("d1").Addr + "/up"); err == nil {
			t.Error("dev still answers")
		}
	})
}

// TestHello runs the smallest example.
func TestHello(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"d1"}})
	w.Example(t, "hello")
	w.Dray(t, 0, "deploy", "dev")
	logs := w.Dray(t, 0, "logs", "dev", "hello").Stdout
	for _, want := range []string{"Hello from a container", "process 1", "called hello-1", "NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t00000000a80425fb"} {
		if !strings.Contains(logs, want) {
			t.Errorf("its log does not say %q:\n%s", want, logs)
		}
	}
}

// watch sends 200 requests a second to a host until the returned function is
// called, which fails the test if one was lost.
func watch(t *testing.T, w *world.World, host string, keepAlive bool) (stop func()) {
	t.Helper()
	run, err := load.Start(context.WithoutCancel(t.Context()), &load.HTTP{URL: "http://" + w.Lab.Host(host).Addr + "/version", Rate: 200, KeepAlive: keepAlive})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		report := run.Stop()
		if report.Failed > 0 {
			t.Errorf("%s, keep-alive %t: %s", host, keepAlive, report)
		}
		t.Logf("%s, keep-alive %t: %s", host, keepAlive, report)
	}
}

// onlyOwnProcesses looks that hosts run sshd, drayd, its shims and containers,
// and nothing else.
func onlyOwnProcesses(t *testing.T, w *world.World) {
	t.Helper()
	known := []string{"sshd", "drayd", "dray-oci", "/web", "lab", "busybox", "init"}
	for _, h := range w.Lab.Hosts() {
		processes, err := h.Processes()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range processes {
			if !slices.ContainsFunc(known, func(k string) bool { return strings.Contains(p.Command, k) }) {
				t.Errorf("%s runs %q", h.Name, p.Command)
			}
		}
	}
}

func get(url string) (string, error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return strings.TrimSpace(string(b)), err
}

// eventually waits until ok says yes, and fails with what it last said.
func eventually(t *testing.T, limit time.Duration, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestBackAndForthWhileDraining goes back and forth while clients keep their
// connections: at the end of the drains the current release must serve.
func TestBackAndForthWhileDraining(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1"}})
	w.App(t, "prod: p1")
	const drain = 4 * time.Second
	w.Replace(t, "dray.hcl", `variable "drain" { default = "5s" }`, `variable "drain" { default = "4s" }`)
	w.Dray(t, 0, "deploy", "prod")
	w.Dray(t, 0, "deploy", "prod", "--var", "version=2")
	stopKept, stopFresh := watch(t, w, "p1", true), watch(t, w, "p1", false)
	w.Dray(t, 0, "rollback", "prod")
	w.Dray(t, 0, "rollback", "prod", "2")
	ended := time.Now()
	eventually(t, 4*drain, "the end of the drains", func() error {
		if left := drain + 2*time.Second - time.Since(ended); left > 0 {
			return fmt.Errorf("another %s", left)
		}
		return nil
	})
	stopKept()
	stopFresh()
	serves(t, w, "p1", "2")
	if s := w.Status(t)["prod"]; s.Services["web"] != "2/2 healthy" || len(s.Notes) > 0 {
		t.Errorf("after the drains: %+v", s)
	}
}
