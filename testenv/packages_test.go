package testenv_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dray/testenv"
)

// TestDocker runs a container of Docker's on a host, before and after the host
// has booted again.
func TestDocker(t *testing.T) {
	_, before := exec.LookPath("/usr/sbin/dockerd")
	lab := testenv.New(t, testenv.Options{Docker: true})
	ctx, h := t.Context(), lab.Host("d1")
	must(t)(h.Exec(ctx, "sh", "-ec", `cd /var/lib; mkdir image; cp /bin/busybox image; printf 'FROM scratch\nCOPY busybox /bin/sh\n' >image/Dockerfile
		DOCKER_BUILDKIT=1 /usr/bin/docker build -q -t small image`))
	run := []string{"/usr/bin/docker", "run", "--rm", "--memory", "64m", "small", "/bin/sh", "-c", "echo $$"}
	if got := must(t)(h.Exec(ctx, run...)); got != "1" {
		t.Errorf("a container's process is number %q of it", got)
	}
	if err := h.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	if got := must(t)(h.Exec(ctx, run...)); got != "1" {
		t.Errorf("after a reboot a container's process is number %q of it", got)
	}
	if _, after := exec.LookPath("/usr/sbin/dockerd"); (after == nil) != (before == nil) {
		t.Errorf("the machine has Docker's engine after: %v; before: %v", after, before)
	}
}

// TestFirewall has a host whose ufw lets in SSH alone.
func TestFirewall(t *testing.T) {
	lab := testenv.New(t, testenv.Options{Firewall: true})
	ctx, h := t.Context(), lab.Host("d1")
	reaches := func(port string) bool {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(h.Addr, port), 2*time.Second)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}
	for _, boot := range []string{"the first boot", "the second boot"} {
		must(t)(h.Exec(ctx, "sh", "-c", "setsid busybox httpd -p 8080"))
		if got := must(t)(ssh(ctx, lab, "d1", "sudo ufw status")); !strings.Contains(got, "Status: active") {
			t.Errorf("%s: %s", boot, got)
		}
		if reaches("8080") {
			t.Errorf("%s: port 8080 is open", boot)
		}
		if boot == "the first boot" {
			if err := h.Reboot(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	must(t)(h.Exec(ctx, "ufw", "allow", "8080/tcp"))
	if !reaches("8080") {
		t.Error("port 8080 is closed, and was allowed")
	}
}
