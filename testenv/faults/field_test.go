package faults

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"dray/targets/api"
	"dray/testenv"
	"dray/testenv/mirror"
	"dray/testenv/world"
)

// field is the lab that all trials share.
type field struct {
	*world.World
	clients  map[string]*api.Client // by host
	registry *mirror.Mirror         // that registry.hcl declares
	last     int                    // newest version given out
}

// hostsOf are the hosts of each environment.
var hostsOf = map[string][]string{"stage": {"s1"}, "one": {"o1"}, "three": {"p1", "p2", "p3"}}

const (
	lease = 3 * time.Second
	// patience is how long a command may take on a busy machine before the
	// trial counts as hung. Clients that lost a host give up well before.
	patience = 3 * time.Minute
)

func newField(t *testing.T) *field {
	t.Helper()
	w := world.New(t, testenv.Options{Hosts: []string{"s1", "o1", "p1", "p2", "p3"}, DiskSize: 700 << 20})
	w.App(t, "stage: s1")
	w.Write(t, map[string]string{
		"dray.hcl": projectFile, "payload": "first",
		"Dockerfile":    "FROM scratch\nCOPY --chmod=755 app /app\nCOPY payload /payload\nENTRYPOINT [\"/app\"]\n",
		".dockerignore": "*\n!app\n!payload\n",
		"hold.sh":       "#!/bin/sh\n[ -e hold ] || exit 0\n: >held\nwhile [ -e hold ]; do sleep 0.05; done\n",
	})
	w.Env = append(w.Env, "DRAY_LEASE="+lease.String(), "DRAY_LOCK_WAIT=60s")
	f := &field{World: w, clients: map[string]*api.Client{}}
	f.declareRegistry(t)
	for _, h := range w.Lab.Hosts() {
		f.clients[h.Name] = api.NewClient(func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", inside(h, "run/dray/agent.sock"))
		}, api.Actor{User: "trial"})
	}
	return f
}

// declareRegistry starts a registry that the hosts reach, and writes a file
// that is the project's with it.
func (f *field) declareRegistry(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", f.Lab.Gateway()+":0")
	if err != nil {
		t.Fatal(err)
	}
	if f.registry, err = mirror.Serve(context.WithoutCancel(t.Context()), t.TempDir(), listener); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.registry.Close(); err != nil {
			t.Error(err)
		}
	})
	f.Write(t, map[string]string{"registry.hcl": fmt.Sprintf("%s\nregistry {\n  address  = %q\n  insecure = true\n}\n", projectFile, f.registry.Addr()+"/shop")})
}

// inside is a file of a running host, as this machine reaches it.
func inside(h *testenv.Host, path string) string {
	return filepath.Join("/proc", strconv.Itoa(h.PID()), "root", path)
}

// next gives a version that no release had.
func (f *field) next() int {
	f.last++
	return f.last
}

// vars are the flags for a release of that version.
func vars(version int) []string {
	return []string{"--var", fmt.Sprintf("version=%d", version), "--var", fmt.Sprintf("extra=%d", extraPort(version))}
}

// extraPort is a port that only this version publishes (of the last thousand).
func extraPort(version int) int { return 9000 + version%1000 }

// environment asks a host's agent.
func (f *field) environment(ctx context.Context, host, env string) (*api.Environment, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return f.clients[host].Environment("shop", env).Get(ctx)
}

// versionOf is the version that a release is of.
func versionOf(r *api.Release) int {
	if r == nil || len(r.Services) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(r.Services[0].Env["VERSION"])
	return n
}

// current is the version that all hosts of an environment have confirmed.
func (f *field) current(t *testing.T, env string) int {
	t.Helper()
	version := 0
	for _, host := range hostsOf[env] {
		e, err := f.environment(t.Context(), host, env)
		if err != nil {
			t.Fatalf("asking %s: %v", host, err)
		}
		v := versionOf(e.Current)
		if version != 0 && v != version {
			t.Fatalf("%s: %s runs version %d, another host %d", env, host, v, version)
		}
		version = v
	}
	return version
}

// payload changes the image that the next build makes.
func (f *field) payload(t *testing.T) {
	t.Helper()
	f.Write(t, map[string]string{"payload": fmt.Sprintf("payload %d of %d\n", f.last, time.Now().UnixNano())})
}

// settled deploys until an environment has that many stable releases.
func (f *field) settled(t *testing.T, env string, releases int) {
	t.Helper()
	for {
		e, err := f.environment(t.Context(), hostsOf[env][0], env)
		if err == nil && e.Current != nil && 1+len(e.Previous) >= releases {
			return
		}
		f.Dray(t, 0, append([]string{"deploy", env}, vars(f.next())...)...)
	}
}

// remove deletes a file that may not be there.
func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
}

const projectFile = `project = "shop"
variable "version" { default = "1" }
variable "extra" {
  type    = number
  default = 9001
}
variable "mode" { default = "" }
target "web" { context = "." }
service "web" {
  image = target.web
  count = 2
  env   = { MODE = var.mode, VERSION = var.version }
  port "http" {
    to      = 8080
    publish = 80
  }
  port "extra" {
    to      = 8080
    publish = var.extra
  }
  port "echo" {
    to       = 7000
    publish  = 7000
    protocol = "udp"
  }
  resources {
    memory = "64MiB"
    pids   = 64
  }
  check {
    type     = "http"
    port     = "http"
    path     = "/up"
    interval = "500ms"
    timeout  = "2s"
  }
  update {
    min_healthy_time = "50ms"
    healthy_deadline = "30s"
    drain            = "2s"
  }
}
host "s1" { address = "ssh://deploy@s1" }
host "o1" { address = "ssh://deploy@o1" }
host "p1" { address = "ssh://deploy@p1" }
host "p2" { address = "ssh://deploy@p2" }
host "p3" { address = "ssh://deploy@p3" }
environment "stage" { hosts = [host.s1] }
environment "one" {
  hosts = [host.o1]
  verify "hold" { command = ["./hold.sh"] }
}
environment "three" {
  hosts = [host.p1, host.p2, host.p3]
  verify "hold" { command = ["./hold.sh"] }
  service "web" {
    count = 6
    update { max_parallel = 3 }
  }
}
`
