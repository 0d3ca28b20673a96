package acceptance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dray/testenv"
	"dray/testenv/world"
)

const confined = `project = "shop"
target "web" {}
service "web" {
  image = target.web
  init  = true
  security {
    no_new_privileges = false
    seccomp           = "seccomp.json"
  }
  check { type = "none" }
  volume "srv" {
    source      = "/srv/shop"
    destination = "/srv"
  }
}
host "d1" { address = "ssh://deploy@d1" }
environment "dev" { hosts = [host.d1] }
`

// TestConfinement brings a service that is confined otherwise than all are, whose
// image has a HEALTHCHECK and a VOLUME, and whose folder the host does not have at
// first; and then can't be started any more.
func TestConfinement(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"d1"}})
	host := w.Lab.Host("d1")
	onHost := func(args ...string) {
		t.Helper()
		if out, err := host.Exec(t.Context(), args...); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	w.Write(t, map[string]string{
		"Dockerfile":   "FROM busybox\nVOLUME /keep\nHEALTHCHECK --interval=1s --retries=2 CMD test -e /srv/well\nCMD [\"sh\", \"-c\", \"(sleep 0.1 &); exec sleep 1000\"]\n",
		"seccomp.json": `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}]}`,
		"dray.hcl":     confined,
	})
	says(t, w.Dray(t, 1, "deploy", "dev"), `volume "srv" of service web binds /srv/shop, which does not exist on this host`, "mkdir -p /srv/shop", `(volume "srv" at dray.hcl:11)`, "Next: make it on that host")
	onHost("mkdir", "-p", "/srv/shop")
	says(t, w.Dray(t, 0, "deploy", "dev"), "web keeps data in /keep, by its image's VOLUME")
	inside := w.Dray(t, 0, "exec", "dev", "web", "--", "sh", "-c", "cat /proc/1/comm; grep -E 'NoNewPrivs|Seccomp:' /proc/1/status; ls -d /keep; ps -o stat | grep -c Z; true").Stdout + "\n"
	for _, want := range []string{"dray-init\n", "NoNewPrivs:\t0\n", "Seccomp:\t2\n", "/keep\n", "\n0\n"} {
		if !strings.Contains(inside, want) {
			t.Errorf("inside there is no %q:\n%s", want, inside)
		}
	}
	if s := w.Status(t)["dev"]; s.Services["web"] != "1/1 healthy" {
		t.Errorf("a service without a check: %+v", s)
	}
	if got := w.Dray(t, 0, "host", "check").Stdout; !strings.Contains(got, "d1 confines containers with seccomp") {
		t.Errorf("host check: %s", got)
	}

	w.Replace(t, "dray.hcl", "  check { type = \"none\" }\n", "")
	w.Replace(t, "dray.hcl", "  init  = true\n", "  init  = true\n  update {\n    healthy_deadline = \"15s\"\n    min_healthy_time = \"100ms\"\n  }\n")
	says(t, w.Dray(t, 3, "deploy", "dev"), "test -e /srv/well: exit code 1")
	onHost("touch", "/srv/shop/well")
	w.Dray(t, 0, "deploy", "dev")
	if s := w.Status(t)["dev"]; s.Services["web"] != "1/1 healthy" {
		t.Errorf("with the image's HEALTHCHECK: %+v", s)
	}

	onHost("mv", "/srv/shop", "/srv/away")
	w.Dray(t, 0, "exec", "dev", "web", "--", "kill", "1") // which is told to the program
	eventually(t, 20*time.Second, "ps telling why it can't be started", func() error {
		ps := w.Dray(t, 0, "ps", "dev").Stdout
		if !strings.Contains(ps, "web/1 is exited (") || !strings.Contains(ps, "/srv/shop") {
			return fmt.Errorf("ps: %s", ps)
		}
		return nil
	})
	onHost("mv", "/srv/away", "/srv/shop")
	eventually(t, 20*time.Second, "the service again", func() error {
		if s := w.Status(t)["dev"]; s.Services["web"] != "1/1 healthy" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}
