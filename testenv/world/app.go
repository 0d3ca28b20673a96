package world

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var app struct {
	once sync.Once
	path string
	err  error
}

// App puts a small server into the project, as a target on scratch, and a
// dray.hcl for these environments ("dev: d1", "prod: p1 p2") whose service web
// runs it. See testenv/world/app for what the server does. Variables of the
// file: version, mode, count.
func (w *World) App(t testing.TB, environments ...string) {
	t.Helper()
	app.once.Do(func() {
		root, err := Checkout()
		if err != nil {
			app.err = err
			return
		}
		dir, err := os.MkdirTemp("", "dray-app")
		if err != nil {
			app.err = err
			return
		}
		app.path = filepath.Join(dir, "app")
		cmd := exec.Command("go", "build", "-o", app.path, "./testenv/world/app")
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			app.err = fmt.Errorf("building the test app: %w\n%s", err, out)
		}
	})
	if app.err != nil {
		t.Fatal(app.err)
	}
	program, err := os.ReadFile(app.path)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, map[string]string{
		"app": string(program), ".dockerignore": "dray.hcl\ndray.lock.hcl\n",
		"Dockerfile": "FROM scratch\nCOPY --chmod=755 app /app\nARG VERSION\nENV VERSION=$VERSION\nENTRYPOINT [\"/app\"]\n",
		"dray.hcl":   appFile(environments),
	})
}

func appFile(environments []string) string {
	var b strings.Builder
	b.WriteString(appProject)
	seen := map[string]bool{}
	previous := ""
	for _, e := range environments {
		name, hosts, _ := strings.Cut(e, ":")
		var refs []string
		for _, h := range strings.Fields(hosts) {
			if !seen[h] {
				fmt.Fprintf(&b, "host %q { address = \"ssh://deploy@%s\" }\n", h, h)
				seen[h] = true
			}
			refs = append(refs, "host."+h)
		}
		fmt.Fprintf(&b, "environment %q {\n  hosts = [%s]\n", name, strings.Join(refs, ", "))
		if previous != "" {
			fmt.Fprintf(&b, "  promotion { from = environment.%s }\n", previous)
		}
		b.WriteString("}\n")
		previous = name
	}
	return b.String()
}

const appProject = `project = "shop"
variable "version" { default = "1" }
variable "mode" { default = "" }
variable "count" {
  type    = number
  default = 2
}
variable "drain" { default = "5s" }
target "web" {
  context = "."
  args    = { VERSION = var.version }
}
service "web" {
  image = target.web
  count = var.count
  env   = { MODE = var.mode }
  port "http" {
    to      = 8080
    publish = 80
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
    min_healthy_time = "100ms"
    healthy_deadline = "6s"
    drain            = var.drain
  }
}
`
