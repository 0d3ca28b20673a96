package runtime_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dray/pipeline"
	"dray/pipeline/secret"
	"dray/targets/logs"
	"dray/targets/runtime"

	"github.com/containerd/containerd/v2/core/mount"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ociPath is the dray-oci that TestMain builds.
var ociPath string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "dray-runtime-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	ociPath = filepath.Join(dir, "dray-oci")
	build := exec.Command("go", "build", "-trimpath", "-tags", "seccomp netgo osusergo",
		"-ldflags", "-s -w -linkmode external -extldflags -static", "-o", ociPath, "dray/cmd/dray-oci")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building dray-oci: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// A host is an engine over folders of its own, with a busybox image.
type host struct {
	*runtime.Engine
	config runtime.Config
	images *images
	live   bool
	stop   func()
}

// newHost needs root: its containers are real.
func newHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers need root")
	}
	base := t.TempDir()
	parent := fmt.Sprintf("/dray-test-%d-%x", os.Getpid(), sha256.Sum256([]byte(t.Name())))[:40]
	h := &host{images: newImages(t, base)}
	h.config = runtime.Config{
		Root: filepath.Join(base, "lib"), RunDir: filepath.Join(base, "run"), OCI: ociPath,
		CgroupParent: parent, Images: h.images, Secrets: secrets{"v1": "s3cret"},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	h.boot(t)
	t.Cleanup(func() {
		if !h.live { // a test failed between two engines
			h.boot(t)
		}
		for _, c := range h.List() {
			if err := h.Remove(context.Background(), c.ID, true); err != nil {
				t.Error(err)
			}
		}
		h.stop()
		removeCgroups(t, parent)
	})
	return h
}

// boot starts an engine over the host's folders, as an agent does.
func (h *host) boot(t *testing.T) {
	t.Helper()
	engine, err := runtime.New(h.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Recover(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = engine.Run(ctx) })
	h.Engine = engine
	h.live = true
	h.stop = func() { cancel(); running.Wait(); h.live = false }
}

// removeCgroups removes the groups that the tests made, which are empty.
func removeCgroups(t *testing.T, parent string) {
	for _, pattern := range []string{"/sys/fs/cgroup/*" + parent, "/sys/fs/cgroup" + parent} {
		found, _ := filepath.Glob(pattern)
		for _, dir := range found {
			children, _ := filepath.Glob(dir + "/*/cgroup.procs")
			for _, child := range children {
				_ = os.Remove(filepath.Dir(child))
			}
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		}
	}
}

type secrets map[string]string

func (s secrets) Value(version string) (secret.Value, error) {
	if text, ok := s[version]; ok {
		return secret.NewValue(text), nil
	}
	return secret.Value{}, fmt.Errorf("no secret %s", version)
}

// images is a store of one image: busybox, as overlays over a folder.
type images struct {
	base   string
	config dockerspec.DockerOCIImage
}

func newImages(t *testing.T, base string) *images {
	t.Helper()
	rootfs := filepath.Join(base, "busybox")
	for _, dir := range []string{"bin", "etc", "tmp", "home/app"} {
		if err := os.MkdirAll(filepath.Join(rootfs, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(rootfs, "tmp"), 0o1777); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("busybox-static is not installed")
	}
	if err := os.WriteFile(filepath.Join(rootfs, "bin/busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, applet := range strings.Fields("sh cat echo sleep ls id ps mount hostname grep kill tty stty env head dd true false ip wc touch rm pwd seq nc") {
		if err := os.Symlink("busybox", filepath.Join(rootfs, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n",
		"etc/group":  "root:x:0:\napp:x:1000:\nstaff:x:50:app\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(rootfs, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	i := &images{base: base}
	i.config.Config.ImageConfig = ocispec.ImageConfig{Cmd: []string{"sh", "-c", "echo default"}, Env: []string{"FROM_IMAGE=yes", "BOTH=image"}}
	return i
}

func (i *images) Config(context.Context, string) (dockerspec.DockerOCIImage, error) {
	return i.config, nil
}

func (i *images) Mounts(_ context.Context, id, _ string) ([]mount.Mount, error) {
	dir := filepath.Join(i.base, "layers", id)
	for _, sub := range []string{"u", "w"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	return []mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{
		"lowerdir=" + filepath.Join(i.base, "busybox"), "upperdir=" + filepath.Join(dir, "u"), "workdir=" + filepath.Join(dir, "w"),
	}}}, nil
}

func (i *images) Remove(_ context.Context, id string) error {
	return os.RemoveAll(filepath.Join(i.base, "layers", id))
}

// sh is a Spec that runs a shell script.
func sh(name, script string) runtime.Spec {
	return runtime.Spec{
		Name: name, Image: "sha256:busybox", Command: []string{"sh", "-c", script},
		StopGrace: pipeline.Duration(5 * time.Second),
	}
}

// run creates and starts a container.
func (h *host) run(t *testing.T, spec runtime.Spec) runtime.Container {
	t.Helper()
	c, err := h.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	c, err = h.Get(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wait waits for the end.
func (h *host) wait(t *testing.T, id string) runtime.Container {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := h.Wait(ctx, id, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// output is what a container printed.
func (h *host) output(t *testing.T, id string) string {
	t.Helper()
	var out strings.Builder
	err := h.Logs(t.Context(), id, logs.Query{}, func(r logs.Record) error {
		out.Write(r.Text)
		out.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// once runs a script in a container of its own and returns what it printed.
func (h *host) once(t *testing.T, spec runtime.Spec) (string, runtime.Container) {
	t.Helper()
	c := h.run(t, spec)
	c = h.wait(t, c.ID)
	return h.output(t, c.ID), c
}

// exec runs a command in a container and returns its output and exit code.
func (h *host) exec(t *testing.T, id string, config runtime.ExecConfig) (string, int) {
	t.Helper()
	out := newScreen()
	code, err := h.Exec(t.Context(), id, config, runtime.Streams{Stdout: out, Stderr: out})
	if err != nil {
		t.Fatalf("exec %q: %v", config.Command, err)
	}
	return out.text, code
}
