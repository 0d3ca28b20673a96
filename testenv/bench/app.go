package bench

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"dray/testenv"
	"dray/testenv/mirror"
)

// Sizes of what is deployed, in bytes.
const (
	baseFiles = 400
	baseFile  = 75_000 // 30 MB in all
	layerSize = 30_000_000
)

// app is the project: examples/web's server as people deploy one.
type app struct {
	dir     string
	program []byte // with placeholder where the version is
	at      int    // where that is
	version int
}

// placeholder is the version that the server is linked with. Its like, of the
// same length, takes its place.
const placeholder = "version-000000"

func newApp(ctx context.Context, b *Bench) (*app, error) {
	a := &app{dir: b.world.Project}
	if err := a.compile(ctx, b); err != nil {
		return nil, err
	}
	if err := pushBase(ctx, b.world.Mirror); err != nil {
		return nil, err
	}
	layer := make([]byte, layerSize)
	fill(layer, "layer")
	files := map[string][]byte{
		"Dockerfile":    []byte(dockerfile),
		"dray.hcl":      []byte(projectFile(b.world.Lab)),
		".dockerignore": []byte("*\n!web\n!data.bin\n"),
		".gitignore":    []byte("web\ndata.bin\n"),
		"data.bin":      layer,
	}
	for file, content := range files {
		if err := os.WriteFile(filepath.Join(a.dir, file), content, 0o644); err != nil {
			return nil, err
		}
	}
	if err := a.commit(ctx); err != nil {
		return nil, err
	}
	_, err := a.change()
	return a, err
}

// compile builds the server once, as its Dockerfile does but with symbols.
func (a *app) compile(ctx context.Context, b *Bench) error {
	out := filepath.Join(b.dir, "web")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-X main.version="+placeholder, "-o", out, ".")
	cmd.Dir = filepath.Join(b.Source, "examples", "web")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building examples/web: %w\n%s", err, said)
	}
	var err error
	if a.program, err = os.ReadFile(out); err != nil {
		return err
	}
	a.at = bytes.Index(a.program, []byte(placeholder))
	if a.at < 0 {
		return fmt.Errorf("building examples/web: the program does not hold its version")
	}
	return nil
}

// change puts the next version of the server into the project.
func (a *app) change() (version string, err error) {
	a.version++
	version = fmt.Sprintf("version-%06d", a.version)
	copy(a.program[a.at:], version)
	return version, os.WriteFile(filepath.Join(a.dir, "web"), a.program, 0o755)
}

// commit makes the project a checkout, as people's are: dray reads it.
func (a *app) commit(ctx context.Context) error {
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "."},
		{"-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false", "commit", "-q", "-m", "First"},
	} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = a.dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z")
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w\n%s", args[0], err, said)
		}
	}
	return nil
}

// fill fills b with bytes that no compressor makes smaller, the same ones
// each time for the same name.
func fill(b []byte, name string) {
	var seed [32]byte
	copy(seed[:], "dray bench "+name)
	_, _ = rand.NewChaCha8(seed).Read(b) // it never fails
}

// pushBase puts the base image into the registry: busybox and 30 MB.
func pushBase(ctx context.Context, m *mirror.Mirror) error {
	under, err := pullFrom(ctx, m, "library/busybox:latest")
	if err != nil {
		return err
	}
	data := make([]byte, baseFiles*baseFile)
	fill(data, "base")
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeBase(w, data)) }() // ends when r is read or closed
		return r, nil
	}, tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithCompressedCaching)
	if err != nil {
		return fmt.Errorf("making the base image: %w", err)
	}
	base, err := mutate.AppendLayers(under, layer)
	if err != nil {
		return fmt.Errorf("making the base image: %w", err)
	}
	ref, err := name.ParseReference(m.Addr()+"/"+baseImage, name.Insecure)
	if err != nil {
		return err
	}
	if err := remote.Write(ref, base, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("pushing the base image: %w", err)
	}
	return nil
}

func pullFrom(ctx context.Context, m *mirror.Mirror, image string) (v1.Image, error) {
	ref, err := name.ParseReference(m.Addr()+"/"+image, name.Insecure)
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("pulling %s: %w", image, err)
	}
	return img, nil
}

// writeBase archives data as files of the base.
func writeBase(w io.Writer, data []byte) error {
	archive := tar.NewWriter(w)
	for n := range baseFiles {
		err := archive.WriteHeader(&tar.Header{
			Name: fmt.Sprintf("opt/base/%02d/%03d", n%20, n), Mode: 0o644, Size: baseFile, ModTime: time.Unix(1_750_000_000, 0),
		})
		if err != nil {
			return err
		}
		if _, err := archive.Write(data[n*baseFile : (n+1)*baseFile]); err != nil {
			return err
		}
	}
	return archive.Close()
}

// baseImage is the base image's name in a registry.
const baseImage = "bench/base:1"

const dockerfile = "FROM " + baseImage + `
COPY data.bin /opt/data.bin
COPY --chmod=755 web /web
USER 1000
EXPOSE 8080
ENTRYPOINT ["/web"]
`

// service is examples/web's, without its limit on processor time, which would
// be what the load rows measure.
const service = `project = "shop"

variable "count" {
  type    = number
  default = 1
}
variable "parallel" {
  type    = number
  default = 1
}
variable "motd" { default = "none" }

target "web" { context = "." }

service "web" {
  image = target.web
  env   = { PORT = "8080", MOTD = var.motd }
  port "http" {
    to      = 8080
    publish = 80
  }
  resources {
    memory = "256MiB"
    pids   = 256
  }
  check {
    type     = "http"
    port     = "http"
    path     = "/up"
    interval = "1s"
    timeout  = "2s"
  }
  update {
    max_parallel     = var.parallel
    min_healthy_time = "200ms"
    healthy_deadline = "30s"
    drain            = "10s"
  }
}
`

func projectFile(lab *testenv.Lab) string {
	var f strings.Builder
	f.WriteString(service)
	for _, h := range lab.Hosts() {
		fmt.Fprintf(&f, "host %q { address = %q }\n", h.Name, "ssh://"+testenv.User+"@"+h.Name)
	}
	for _, e := range environments {
		fmt.Fprintf(&f, "environment %q {\n  hosts = [host.%s]\n  service \"web\" { count = %s }\n}\n", e.name, strings.Join(e.hosts, ", host."), e.count)
	}
	return f.String()
}
