package engineapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"dray/pipeline/secret"
	"dray/targets/agent/engineapi"
	hostapi "dray/targets/api"
	"dray/targets/network"
	"dray/targets/runtime"
	"dray/targets/store"
	"dray/targets/volume"
)

// ociPath is the dray-oci that TestMain builds.
var ociPath string

// TestMain runs the tests in network and mount namespaces of their own, since
// their containers are real.
func TestMain(m *testing.M) {
	const mark = "DRAY_TEST_OCI"
	ociPath = os.Getenv(mark)
	if ociPath != "" || os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	os.Exit(inNamespaces(mark))
}

func inNamespaces(mark string) int {
	dir, err := os.MkdirTemp("", "dray-engineapi-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	oci := filepath.Join(dir, "dray-oci")
	build := exec.Command("go", "build", "-trimpath", "-tags", "seccomp netgo osusergo",
		"-ldflags", "-s -w -linkmode external -extldflags -static", "-o", oci, "dray/cmd/dray-oci")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building dray-oci: %v\n%s", err, out)
		return 1
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), mark+"="+oci)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := c.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// world is a host with one image, and its API on a socket.
type world struct {
	*testing.T
	engine   *runtime.Engine
	networks *network.Networks
	images   *oneImage
	socket   string
	client   *http.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers need root")
	}
	base, err := os.MkdirTemp("", "d") // short: a socket's path has 108 bytes
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(base)) })
	w := &world{T: t, images: newImage(t, base), socket: filepath.Join(base, "s")}
	w.networks, err = network.Open(network.Config{Dir: filepath.Join(base, "network"), RunDir: filepath.Join(base, "netns")})
	must(t, err)
	parent := fmt.Sprintf("/dray-api-%d", os.Getpid())
	w.engine, err = runtime.New(runtime.Config{
		Root: filepath.Join(base, "lib"), RunDir: filepath.Join(base, "run"), OCI: ociPath, CgroupParent: parent,
		Images: w.images, Networks: attachments{w.networks}, Secrets: noSecrets{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	must(t, err)
	must(t, w.engine.Recover(t.Context()))
	volumes, err := volume.Open(filepath.Join(base, "volumes"), nil)
	must(t, err)
	api := engineapi.New(engineapi.Config{
		Engine: w.engine, Images: w.images, Networks: w.networks, Volumes: volumes, Root: base,
		Host: func() hostapi.Host {
			return hostapi.Host{ID: "h1", Version: "0.1", Hostname: "p1", Kernel: "6.1", OS: "Debian", Arch: "amd64", CPUs: 2, MemoryTotal: 4 << 30, Limits: []string{"memory", "cpu", "pids"}}
		},
	})
	w.serve(api, parent)
	return w
}

func (w *world) serve(api *engineapi.API, parent string) {
	listener, err := net.Listen("unix", w.socket)
	must(w.T, err)
	server := &http.Server{Handler: api}
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { _ = w.engine.Run(ctx) })
	group.Go(func() { _ = api.Run(ctx) })
	group.Go(func() { _ = server.Serve(listener) })
	w.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return w.dial(), nil
	}}}
	w.Cleanup(func() {
		for _, c := range w.engine.List() {
			_ = w.engine.Remove(context.Background(), c.ID, true) // it may be removing itself
		}
		_ = server.Close()
		stop()
		group.Wait()
		must(w.T, w.networks.Close())
		removeCgroups(parent)
	})
}

func (w *world) dial() net.Conn {
	c, err := net.Dial("unix", w.socket)
	must(w.T, err)
	return c
}

func removeCgroups(parent string) {
	for _, pattern := range []string{"/sys/fs/cgroup/*" + parent, "/sys/fs/cgroup" + parent} {
		found, _ := filepath.Glob(pattern)
		for _, dir := range found {
			children, _ := filepath.Glob(dir + "/*/cgroup.procs")
			for _, child := range children {
				_ = os.Remove(filepath.Dir(child))
			}
			_ = os.Remove(dir)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// call makes a request and returns the status and the body.
func (w *world) call(method, path, body string) (int, string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, "http://host"+path, strings.NewReader(body))
	must(w.T, err)
	req.Header.Set("Content-Type", "application/json")
	answer, err := w.client.Do(req)
	must(w.T, err)
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	must(w.T, err)
	return answer.StatusCode, string(b)
}

// get decodes an answer that must be 200.
func (w *world) get(path string, v any) {
	w.Helper()
	status, body := w.call("GET", path, "")
	if status != http.StatusOK {
		w.Fatalf("GET %s: %d %s", path, status, body)
	}
	must(w.T, json.Unmarshal([]byte(body), v))
}

// docker runs the Docker CLI against the socket.
func (w *world) docker(args ...string) (out string, code int) {
	w.Helper()
	path, err := exec.LookPath("docker")
	if err != nil {
		w.Skip("no docker CLI here")
	}
	ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, path, append([]string{"-H", "unix://" + w.socket}, args...)...)
	c.Env = append(os.Environ(), "DOCKER_CONFIG="+w.TempDir(), "DOCKER_CLI_HINTS=false")
	var b bytes.Buffer
	c.Stdout, c.Stderr = &b, &b
	err = c.Run()
	if c.ProcessState == nil {
		w.Fatal(err)
	}
	return b.String(), c.ProcessState.ExitCode()
}

// run starts a container that runs a shell script.
func (w *world) run(name, script string, change ...func(*runtime.Spec)) runtime.Container {
	w.Helper()
	s := runtime.Spec{
		Name: name, Image: imageDigest, ImageName: "busybox:1.0", Hostname: name, Command: []string{"sh", "-c", script},
		Labels: map[string]string{runtime.LabelService: "web"}, Network: "shop-prod",
	}
	for _, f := range change {
		f(&s)
	}
	c, err := w.engine.Create(w.Context(), s)
	must(w.T, err)
	must(w.T, w.engine.Start(w.Context(), c.ID))
	c, err = w.engine.Get(c.ID)
	must(w.T, err)
	return c
}

type noSecrets struct{}

func (noSecrets) Value(string) (secret.Value, error) { return secret.Value{}, os.ErrNotExist }

// attachments is the networks as the engine needs them.
type attachments struct{ *network.Networks }

func (n attachments) Attach(ctx context.Context, r runtime.NetworkRequest) (runtime.Endpoint, error) {
	end, err := n.Networks.Attach(ctx, r.Network, r.Container)
	return runtime.Endpoint{NetnsPath: end.NetnsPath, Address: end.Address}, err
}

func (n attachments) Detach(ctx context.Context, _, id string) error {
	return n.Networks.Detach(ctx, id)
}

const imageDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// oneImage is a store with busybox, as overlays over a folder.
type oneImage struct{ base string }

func newImage(t *testing.T, base string) *oneImage {
	t.Helper()
	rootfs := filepath.Join(base, "busybox")
	for _, dir := range []string{"bin", "etc", "tmp"} {
		must(t, os.MkdirAll(filepath.Join(rootfs, dir), 0o755))
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("busybox-static is not installed")
	}
	must(t, os.WriteFile(filepath.Join(rootfs, "bin/busybox"), busybox, 0o755))
	for _, applet := range strings.Fields("sh cat echo sleep ls id ps kill tty stty env true false touch") {
		must(t, os.Symlink("busybox", filepath.Join(rootfs, "bin", applet)))
	}
	must(t, os.WriteFile(filepath.Join(rootfs, "etc/passwd"), []byte("root:x:0:0::/:/bin/sh\n"), 0o644))
	return &oneImage{base}
}

func (i *oneImage) image() store.Image {
	d := digest.Digest(imageDigest)
	image := store.Image{Digest: d, Manifest: d, ConfigDigest: d, Name: "busybox:1.0", Unpacked: 1 << 20, Pulled: time.Unix(1e9, 0)}
	image.Config.Config = ocispec.ImageConfig{Cmd: []string{"sh", "-c", "echo default"}, Env: []string{"PATH=/bin"}, Labels: map[string]string{"made": "here"}}
	image.Config.OS, image.Config.Architecture = "linux", "amd64"
	return image
}

func (i *oneImage) Images(context.Context) ([]store.Image, error) {
	return []store.Image{i.image()}, nil
}

func (i *oneImage) Usage(context.Context, string) (int64, int64, error) { return 4096, 1, nil }

func (i *oneImage) Config(context.Context, string) (dockerspec.DockerOCIImage, error) {
	config := i.image().Config
	return dockerspec.DockerOCIImage{Image: config, Config: dockerspec.DockerOCIImageConfig{ImageConfig: config.Config}}, nil
}

func (i *oneImage) Mounts(_ context.Context, id, _ string) ([]mount.Mount, error) {
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

func (i *oneImage) Remove(_ context.Context, id string) error {
	return os.RemoveAll(filepath.Join(i.base, "layers", id))
}
