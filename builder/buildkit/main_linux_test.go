package buildkit

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder"
	"dray/pipeline"
	"dray/pipeline/event"
)

// serveArg makes the test binary serve, as "dray builder serve" does.
const serveArg = "serve-builder-for-test"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveArg {
		if err := ServeDetached(context.Background(), os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	code := m.Run()
	if shared != nil {
		shared.close()
	}
	os.Exit(code)
}

var (
	shared     *sharedLab
	sharedOnce sync.Once
)

// sharedLab is the builder of every test that does not need its own.
type sharedLab struct {
	dir    string
	lab    *lab
	mirror *httptest.Server
}

// useLab returns a builder that other tests use too.
func useLab(t testing.TB) *lab {
	t.Helper()
	needRoot(t)
	sharedOnce.Do(func() {
		dir, err := os.MkdirTemp("", "dray-builder-test")
		if err != nil {
			t.Fatal(err)
		}
		mirror, asked := newMirror(t)
		shared = &sharedLab{dir: dir, mirror: mirror, lab: &lab{
			options: embeddedOptions(t, filepath.Join(dir, "b"), filepath.Join(dir, "images"), mirror),
			mirror:  mirror, asked: asked,
		}}
	})
	l := *shared.lab
	l.t = t
	return &l
}

func (s *sharedLab) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_ = Stop(ctx, s.lab.options.Embedded)
	for ctx.Err() == nil {
		var u undo
		if err := lock(s.lab.options.Embedded, &u); err == nil {
			_ = u.run()
			break
		}
		time.Sleep(pollEvery)
	}
	s.mirror.Close()
	_ = os.RemoveAll(s.dir)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the builder mounts and runs containers")
	}
}

func embeddedOptions(t testing.TB, dir, images string, mirror *httptest.Server) Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Images: images,
		Embedded: Embedded{
			Dir:          dir,
			Command:      []string{self, serveArg},
			Idle:         pipeline.Duration(time.Minute),
			Mirrors:      map[string][]string{"docker.io": {mirror.URL}},
			CgroupParent: "/dray-build-test",
			Runtime:      builtRuntime(t),
		},
	}
}

var (
	runtimeOnce sync.Once
	runtimePath string
	errRuntime  error
)

// builtRuntime is the checkout's dray-oci, in $DRAY_TEST_BIN or made now. What
// the machine has installed is not what is tested.
func builtRuntime(t testing.TB) string {
	t.Helper()
	runtimeOnce.Do(func() {
		if bin := os.Getenv("DRAY_TEST_BIN"); bin != "" {
			runtimePath = filepath.Join(bin, "dray-oci")
			return
		}
		root := filepath.Join("..", "..")
		if runtimePath, errRuntime = filepath.Abs(filepath.Join(root, "bin", "dray-oci")); errRuntime != nil {
			return
		}
		if out, err := exec.Command("make", "-C", root, "bin/dray-oci").CombinedOutput(); err != nil {
			errRuntime = fmt.Errorf("making dray-oci: %w\n%s", err, out)
		}
	})
	if errRuntime != nil {
		t.Fatal(errRuntime)
	}
	return runtimePath
}

// lab is an embedded builder with its mirror and an image store.
type lab struct {
	t       testing.TB
	options Options
	mirror  *httptest.Server
	asked   func() []string // paths that the mirror was asked for
}

// newLab returns a builder that has not been started yet. It is stopped at the
// end of the test.
func newLab(t testing.TB) *lab {
	t.Helper()
	needRoot(t)
	mirror, asked := newMirror(t)
	t.Cleanup(mirror.Close)
	l := &lab{t: t, mirror: mirror, asked: asked}
	l.options = embeddedOptions(t, filepath.Join(t.TempDir(), "b"), t.TempDir(), mirror)
	t.Cleanup(l.stop)
	return l
}

// stop ends the builder and waits until its lock is free.
func (l *lab) stop() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := Stop(ctx, l.options.Embedded); err != nil && !errors.Is(err, ErrNotRunning) {
		l.t.Errorf("stopping the builder: %v", err)
	}
	l.waitGone(ctx)
	if l.t.Failed() {
		data, _ := os.ReadFile(l.options.Embedded.LogFile())
		l.t.Logf("builder's log:\n%s", data)
	}
}

func (l *lab) waitGone(ctx context.Context) {
	l.t.Helper()
	for {
		var u undo
		err := lock(l.options.Embedded, &u)
		if err == nil {
			if err := u.run(); err != nil {
				l.t.Error(err)
			}
			return
		}
		select {
		case <-ctx.Done():
			l.t.Fatalf("the builder still runs: %v", err)
		case <-time.After(pollEvery):
		}
	}
}

func (l *lab) client() *Client {
	l.t.Helper()
	c, err := Connect(l.t.Context(), l.options)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	return c
}

// mustBuild builds the files with the Dockerfile among them.
func (l *lab) mustBuild(req builder.Request) builder.Result {
	l.t.Helper()
	res, err := l.client().Build(l.t.Context(), req, event.Discard)
	if err != nil {
		l.t.Fatalf("%v\n%s", err, detail(err))
	}
	return res
}

func detail(err error) string {
	var f *builder.Failure
	if errors.As(err, &f) {
		return f.Detail()
	}
	return ""
}

// project writes files, by name, and returns a request for target "app".
func project(t testing.TB, files map[string]string) builder.Request {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return builder.Request{
		Target: pipeline.Target{Name: "app", Context: ".", Dockerfile: "Dockerfile", At: pipeline.Pos{File: "dray.hcl", Line: 3}},
		Dir:    dir,
	}
}

// newMirror serves docker.io/library/busybox:latest, made of this machine's
// static busybox.
func newMirror(t testing.TB) (*httptest.Server, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var asked []string
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewUnstartedServer(nil)
	server.Config.Handler = logged(handler, func(p string) { mu.Lock(); asked = append(asked, p); mu.Unlock() })
	server.Start()
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://")+"/library/busybox:latest", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, busybox(t)); err != nil {
		t.Fatal(err)
	}
	return server, func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(asked) }
}

var busybox = func() func(t testing.TB) v1.Image {
	var once sync.Once
	var img v1.Image
	return func(t testing.TB) v1.Image {
		t.Helper()
		once.Do(func() { img = makeBusybox(t) })
		return img
	}
}()

func makeBusybox(t testing.TB) v1.Image {
	t.Helper()
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("the static busybox is needed (package busybox-static): %v", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h *tar.Header, data []byte) {
		h.Size, h.ModTime = int64(len(data)), time.Unix(1000, 0)
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin/", "etc/", "tmp/"} {
		add(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	}
	add(&tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755}, program)
	for _, tool := range []string{"sh", "cat", "echo", "ls", "mkdir", "cp", "sleep", "ip", "grep", "touch", "wc", "seq", "env", "date", "stat", "rm", "true", "false"} {
		add(&tar.Header{Name: "bin/" + tool, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", hostArch
	cfg.Config.Env = []string{"PATH=/bin"}
	img, err = mutate.ConfigFile(img, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// image is a built image read back from the store.
type image struct {
	t      testing.TB
	store  content.Store
	config ocispec.Image
	layers []ocispec.Descriptor
}

func open(t testing.TB, res builder.Result) image {
	t.Helper()
	i := image{t: t, store: openStore(t, res)}
	var m ocispec.Manifest
	i.read(ocispec.Descriptor{Digest: digest.Digest(res.Digest), Size: res.Size}, &m)
	i.read(m.Config, &i.config)
	i.layers = m.Layers
	return i
}

func openStore(t testing.TB, res builder.Result) content.Store {
	t.Helper()
	store, err := local.NewStore(res.Store)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (i image) read(desc ocispec.Descriptor, into any) {
	i.t.Helper()
	data, err := content.ReadBlob(i.t.Context(), i.store, desc)
	if err != nil {
		i.t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		i.t.Fatal(err)
	}
}
