package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dray/testenv"
	"dray/testenv/mirror"
)

// Docker's engine, as Debian has it, does the same beside dray: builds the same
// project, brings it to a host by the script that people write, starts the same
// image. Each engine runs inside a host of a lab of its own; the command line
// runs on the machine, as dray does, and reaches an engine by its socket.

// Hosts of the engines' lab: where images are built, and where they run.
const (
	workstation = "k1"
	server      = "k2"
)

// engines are Docker's, and a registry between them.
type engines struct {
	lab      *testenv.Lab
	registry *mirror.Mirror
	dir      string // DOCKER_CONFIG
	project  string // what is built
	program  string // docker
	image    string // the name of what is built and run
	idle     usage  // what the server's engine used before it did anything
}

// unavailable says why there are no engines here; it is a reason for a row to
// be left out, not a failure.
type unavailable struct{ error }

// docker gives the engines, and makes them the first time.
func (b *Bench) docker(ctx context.Context) (*engines, error) {
	if b.engines != nil || b.noEngines != nil {
		return b.engines, b.noEngines
	}
	layer, err := testenv.Packages(ctx, "docker.io")
	if err != nil {
		b.noEngines = unavailable{err}
		return nil, b.noEngines
	}
	e := &engines{dir: filepath.Join(b.dir, "docker"), project: b.world.Project, program: filepath.Join(layer, "usr/bin/docker")}
	if _, err := os.Stat(e.program); err != nil { // the machine has it, so the layer need not
		e.program = "/usr/bin/docker"
	}
	if err := e.start(ctx, b); err != nil {
		return nil, errors.Join(err, e.close(context.WithoutCancel(ctx)))
	}
	b.engines = e
	return e, nil
}

func (e *engines) start(ctx context.Context, b *Bench) (err error) {
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		return err
	}
	e.lab, err = testenv.Make(ctx, testenv.Options{Hosts: []string{workstation, server}, Docker: true, Logger: b.Logger})
	if err != nil {
		return fmt.Errorf("bringing up a lab with Docker: %w", err)
	}
	if err := rested(ctx); err != nil {
		return err
	}
	if e.idle, err = programs(e.lab.Host(server), dockers...); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", e.lab.Gateway()+":0")
	if err != nil {
		return err
	}
	if e.registry, err = mirror.Serve(context.WithoutCancel(ctx), mirror.CacheDir(), listener); err != nil {
		return err
	}
	if err := pushBase(ctx, e.registry); err != nil {
		return err
	}
	e.image = e.registry.Addr() + "/shop/web"
	return e.pullBase(ctx)
}

// pullBase has the workstation's engine take the base image under the name that
// the Dockerfile uses: then its BuildKit asks no registry.
func (e *engines) pullBase(ctx context.Context) error {
	base := e.registry.Addr() + "/" + baseImage
	if _, err := e.run(ctx, workstation, "pull", "-q", base); err != nil {
		return err
	}
	_, err := e.run(ctx, workstation, "tag", base, baseImage)
	return err
}

func (e *engines) close(ctx context.Context) error {
	var errs []error
	if e.lab != nil {
		errs = append(errs, e.lab.Close(ctx))
	}
	if e.registry != nil {
		errs = append(errs, e.registry.Close())
	}
	return errors.Join(errs...)
}

// command prepares something that uses the engine of a host.
func (e *engines) command(ctx context.Context, host, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = e.project
	cmd.Env = append(os.Environ(),
		fmt.Sprintf("DOCKER_HOST=unix:///proc/%d/root/run/docker.sock", e.lab.Host(host).PID()),
		"DOCKER_BUILDKIT=1", "DOCKER_CONFIG="+e.dir, "DOCKER_CONTEXT=")
	return cmd
}

// run runs docker against the engine of a host, and tells how long it took.
func (e *engines) run(ctx context.Context, host string, args ...string) (time.Duration, error) {
	return timed("docker "+args[0], e.command(ctx, host, e.program, args...))
}

func timed(what string, cmd *exec.Cmd) (time.Duration, error) {
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return took, fmt.Errorf("running %s: %w: %s", what, err, strings.TrimSpace(string(out)))
	}
	return took, nil
}

func (e *engines) build(ctx context.Context) (time.Duration, error) {
	return e.run(ctx, workstation, "build", "-q", "-t", e.image, ".")
}

// limits are those of the service that dray runs.
var limits = []string{"--memory", "256m", "--pids-limit", "256", "--env", "PORT=8080", "--env", "MOTD=none"}

// script is what people write: build, push, pull, rm, run.
const script = `set -eu
"$DOCKER" build -q -t "$IMAGE" .
"$DOCKER" push -q "$IMAGE"
ssh -F "$SSH_CONFIG" "$SERVER" "sudo /usr/bin/docker pull -q $IMAGE &&
  { sudo /usr/bin/docker rm -f web || true; } &&
  sudo /usr/bin/docker run -d --restart always --name web -p 80:8080 $LIMITS $IMAGE"
`

// deploy runs the script.
func (e *engines) deploy(ctx context.Context) (time.Duration, error) {
	cmd := e.command(ctx, workstation, "sh", "-c", script)
	cmd.Env = append(cmd.Env, "DOCKER="+e.program, "IMAGE="+e.image, "SSH_CONFIG="+e.lab.SSHConfig,
		"SERVER="+server, "LIMITS="+strings.Join(limits, " "))
	return timed("the script", cmd)
}

// change is a one-line change, deployed by the script, until the host answers
// with it. The host is asked once the script has ended: a question that comes
// before the container's interface does has the kernel look for it in vain, and
// then wait a second.
func (e *engines) change(ctx context.Context, b *Bench) (live time.Duration, err error) {
	version, err := b.app.change()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := e.deploy(ctx); err != nil {
		return 0, err
	}
	watching, stop := context.WithTimeout(ctx, commandLimit)
	defer stop()
	at, err := awaitVersion(watching, []string{e.lab.Host(server).Addr}, version)()
	return at.Sub(began), err
}
