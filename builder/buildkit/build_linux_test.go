package buildkit

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder"
	"dray/pipeline"
	"dray/pipeline/event"
)

// files returns the text of every regular file in the image's layers, and the
// youngest time in them.
func (i image) files() (map[string]string, time.Time) {
	i.t.Helper()
	all, latest := map[string]string{}, time.Time{}
	for _, desc := range i.layers {
		blob, err := content.ReadBlob(i.t.Context(), i.store, desc)
		if err != nil {
			i.t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(blob))
		if err != nil {
			i.t.Fatal(err)
		}
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				i.t.Fatal(err)
			}
			if h.ModTime.After(latest) {
				latest = h.ModTime
			}
			if h.Typeflag == tar.TypeReg {
				data, err := io.ReadAll(r)
				if err != nil {
					i.t.Fatal(err)
				}
				all[h.Name] = string(data)
			}
		}
	}
	return all, latest
}

// recorder keeps events.
type recorder struct {
	mu     sync.Mutex
	events []event.Event
}

func (r *recorder) Emit(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) of(kind event.Type) []event.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []event.Event
	for _, e := range r.events {
		if e.Type == kind {
			out = append(out, e)
		}
	}
	return out
}

func TestBuildFromScratch(t *testing.T) {
	l, unique := useLab(t), rand.Text()
	req := project(t, map[string]string{
		"Dockerfile":    "FROM scratch\nARG WHAT=none\nCOPY . /data/\nLABEL what=$WHAT\nCMD [\"/hello\"]\n",
		"hello":         "world " + unique + "\n",
		"skipped.log":   "not for the image",
		".dockerignore": "*.log\nDockerfile\n.dockerignore\n",
	})
	req.Target.Args = map[string]string{"WHAT": "arg"}
	req.Target.Labels = map[string]string{"org.example": "label"}
	var rec recorder
	res, err := l.client().Build(t.Context(), req, &rec)
	if err != nil {
		t.Fatal(err)
	}
	if res.Written != res.Total || res.Total <= res.Size || res.Store != l.options.Images {
		t.Errorf("first build: %+v", res)
	}
	img := open(t, res)
	files, latest := img.files()
	if len(files) != 1 || files["data/hello"] != "world "+unique+"\n" {
		t.Errorf("files: %q", files)
	}
	if latest.After(builder.LayerTime) {
		t.Errorf("a file is of %s, after %s", latest, builder.LayerTime)
	}
	if got := img.config.Created; got == nil || !got.Equal(builder.LayerTime) {
		t.Errorf("created %v, want %v", got, builder.LayerTime)
	}
	if got := img.config.Config.Labels; got["what"] != "arg" || got["org.example"] != "label" {
		t.Errorf("labels: %v", got)
	}
	if steps := rec.of(event.StepFinished); len(steps) != 1 || steps[0].Text != "[1/1] COPY . /data/" || steps[0].Subject != "app" || steps[0].Stage != "build" {
		t.Errorf("steps: %+v", steps)
	}

	rec = recorder{}
	again, err := l.client().Build(t.Context(), req, &rec)
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest != res.Digest || again.Written != 0 || again.Total != res.Total {
		t.Errorf("second build: %+v", again)
	}
	if steps := rec.of(event.StepFinished); len(steps) != 1 || !steps[0].Cached {
		t.Errorf("steps of the second build: %+v", steps)
	}
	last := rec.of(event.Progress)[len(rec.of(event.Progress))-1]
	if last.Done != 1 || last.Total != 1 || last.Unit != "steps" {
		t.Errorf("last progress: %+v", last)
	}
}

func TestRunAndStages(t *testing.T) {
	l, unique := useLab(t), rand.Text()
	req := project(t, map[string]string{
		"Dockerfile": `FROM busybox AS build
WORKDIR /src
COPY word .
RUN echo "$(cat word) from pid $$" > /out && echo printed && echo complaint >&2
FROM build AS other
RUN false
FROM scratch AS final
COPY --from=build /out /
`,
		"word": unique,
	})
	req.Target.Stage = "final"
	var rec recorder
	res, err := l.client().Build(t.Context(), req, &rec)
	if err != nil {
		t.Fatal(err, detail(err))
	}
	files, _ := open(t, res).files()
	if got := files["out"]; got != unique+" from pid 1\n" {
		t.Errorf("out: %q", got)
	}
	if len(res.Bases) != 1 || res.Bases[0].Reference != "docker.io/library/busybox:latest" {
		t.Errorf("bases: %+v", res.Bases)
	}
	var printed []string
	for _, e := range rec.of(event.Output) {
		printed = append(printed, e.Stream+":"+e.Text)
	}
	slices.Sort(printed)
	if want := []string{"stderr:complaint", "stdout:printed"}; !slices.Equal(printed, want) {
		t.Errorf("output %q, want %q", printed, want)
	}
	if !slices.ContainsFunc(l.asked(), func(p string) bool { return strings.HasPrefix(p, "/v2/library/busybox/manifests/") }) {
		t.Errorf("the mirror was asked for %q only", l.asked())
	}
}

func TestSecretStaysOut(t *testing.T) {
	l := useLab(t)
	const value = "s3cr3t-value-of-the-test"
	t.Setenv("DRAY_TEST_TOKEN", value)
	req := project(t, map[string]string{
		"Dockerfile": `# syntax=docker/dockerfile:1
FROM busybox
RUN --mount=type=secret,id=token,required=true grep -q s3cr3t /run/secrets/token && cat /run/secrets/token
RUN --mount=type=secret,id=file,required=true wc -c < /run/secrets/file > /size
`,
		"secret.txt": "12345",
	})
	req.Target.Secrets = []pipeline.BuildSecret{{ID: "token", Env: "DRAY_TEST_TOKEN"}, {ID: "file", Src: "secret.txt"}}
	req.NoCache = true
	var rec recorder
	res, err := l.client().Build(t.Context(), req, &rec)
	if err != nil {
		t.Fatal(err, detail(err))
	}
	files, _ := open(t, res).files()
	if files["size"] != "5\n" {
		t.Errorf("size: %q", files["size"])
	}
	for name, text := range files {
		if strings.Contains(text, value) || strings.HasPrefix(name, "run/secrets/") {
			t.Errorf("the image has the secret in %s", name)
		}
	}
	out := rec.of(event.Output)
	if len(out) != 1 || out[0].Text != "[secret]" {
		t.Errorf("output: %+v", out)
	}

	req.Target.Secrets = nil
	_, err = l.client().Build(t.Context(), req, event.Discard)
	if err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("a secret that is not declared: %v", err)
	}
}

func TestContexts(t *testing.T) {
	l := useLab(t)
	base := project(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /base\nENV FROM_BASE=1\n"})
	base.Target.Name = "base"
	built := l.mustBuild(base)

	req := project(t, map[string]string{
		"app/docker/App.Dockerfile": "FROM base\nCOPY here /\nCOPY --from=extra there /\n",
		"app/here":                  "here",
		"other/there":               "there",
	})
	req.Target.Context, req.Target.Dockerfile = "app", "docker/App.Dockerfile"
	req.Target.Contexts = map[string]string{"base": "target:base", "extra": "other"}
	req.Built = map[string]builder.Result{"base": built}
	img := open(t, l.mustBuild(req))
	files, _ := img.files()
	if len(files) != 3 || files["here"] != "here" || files["there"] != "there" || files["base"] == "" {
		t.Errorf("files: %q", files)
	}
	if !slices.Contains(img.config.Config.Env, "FROM_BASE=1") {
		t.Errorf("env: %q", img.config.Config.Env)
	}

	req.Built = nil
	if _, err := l.client().Build(t.Context(), req, event.Discard); err == nil || !strings.Contains(err.Error(), "target base, which has not been built") {
		t.Errorf("a context that was not built: %v", err)
	}

	for _, name := range []string{"context", "dockerfile"} {
		own := project(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY f /\nCOPY --from=" + name + " there /\n", "f": "own", "other/there": "there"})
		own.Target.Contexts = map[string]string{name: "other"}
		files, _ = open(t, l.mustBuild(own)).files()
		if files["f"] != "own" || files["there"] != "there" {
			t.Errorf("a context of the name %s: %q", name, files)
		}
	}

	lower := project(t, map[string]string{"dockerfile": "FROM scratch\nCOPY f /\n", "f": "lower"})
	if files, _ = open(t, l.mustBuild(lower)).files(); files["f"] != "lower" {
		t.Errorf("a file named dockerfile: %q", files)
	}

	inline := project(t, map[string]string{"f": "inline"})
	inline.Target.Dockerfile, inline.Target.DockerfileInline = "", "FROM scratch\nCOPY f /\n"
	files, _ = open(t, l.mustBuild(inline)).files()
	if files["f"] != "inline" {
		t.Errorf("inline: %q", files)
	}
}

func TestRunOptions(t *testing.T) {
	l := useLab(t)
	req := project(t, map[string]string{
		"Dockerfile": `FROM busybox
RUN grep Seccomp: /proc/self/status > /seccomp; ip -o link | wc -l > /links; grep example.test /etc/hosts > /hosts; grep " /dev/shm " /proc/mounts > /shm; grep "open files" /proc/self/limits > /files
`,
	})
	req.Target.Network = "none"
	req.Target.ExtraHosts = map[string]string{"example.test": "10.1.2.3"}
	req.Target.ShmSize = 1 << 20
	req.Target.Ulimits = []string{"nofile=77:88"}
	files, _ := open(t, l.mustBuild(req)).files()
	for name, want := range map[string]string{"links": "1\n", "hosts": "10.1.2.3", "shm": "size=1024k", "files": "77 ", "seccomp": "2\n"} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s: %q has no %q", name, files[name], want)
		}
	}
}

func TestPlatforms(t *testing.T) {
	l := useLab(t)
	req := project(t, map[string]string{"Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n", "amd64": "a", "arm64": "b"})
	req.Target.Platforms = []string{"linux/amd64", "linux/arm64"}
	res := l.mustBuild(req)
	if res.MediaType != "application/vnd.oci.image.index.v1+json" {
		t.Errorf("media type %s", res.MediaType)
	}
	req.Target.Platforms = []string{"linux/arm64"}
	img := open(t, l.mustBuild(req))
	if files, _ := img.files(); files["arch"] != "b" || img.config.Architecture != "arm64" {
		t.Errorf("%s: %q", img.config.Architecture, files)
	}
}

func TestCancelled(t *testing.T) {
	l := useLab(t)
	req := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo started && sleep 60\n"})
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := l.client().Build(ctx, req, event.Func(func(e event.Event) {
		if e.Type == event.Output {
			cancel(reason)
		}
	}))
	if !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
}

func TestPins(t *testing.T) {
	l := useLab(t)
	req := project(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY Dockerfile /pinned\n"})
	free := l.mustBuild(req)
	req.Pins = map[string]string{"busybox": free.Bases[0].Digest}
	pinned := l.mustBuild(req)
	if pinned.Digest != free.Digest {
		t.Errorf("pinned to the same: %s, want %s", pinned.Digest, free.Digest)
	}
	req.Pins["busybox"] = "sha256:" + strings.Repeat("0", 64)
	if _, err := l.client().Build(t.Context(), req, event.Discard); err == nil {
		t.Error("a pin to an image that does not exist was ignored")
	}
}

// TestBases looks that every way to name an image shows, and that one which
// names its bytes itself is told apart.
func TestBases(t *testing.T) {
	l := useLab(t)
	d := l.mustBuild(project(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY Dockerfile /\n"})).Bases[0].Digest
	tagged := []builder.Base{{Reference: "docker.io/library/busybox:latest", Digest: d}}
	exact := []builder.Base{{Reference: "docker.io/library/busybox@" + d, Digest: d}}
	for name, x := range map[string]struct {
		dockerfile string
		contexts   map[string]string
		want       []builder.Base
	}{
		"FROM":              {"FROM busybox\nCOPY Dockerfile /\n", nil, tagged},
		"COPY --from":       {"FROM scratch\nCOPY --from=busybox /bin/busybox /\n", nil, tagged},
		"RUN --mount":       {"FROM busybox AS a\nRUN --mount=from=busybox,target=/m ls /m\n", nil, tagged},
		"a context":         {"FROM scratch\nCOPY --from=tools /bin/busybox /\n", map[string]string{"tools": "docker-image://busybox"}, tagged},
		"by digest":         {"FROM busybox@" + d + "\nCOPY Dockerfile /\n", nil, exact},
		"tag and digest":    {"FROM busybox:latest@" + d + "\nCOPY Dockerfile /\n", nil, tagged},
		"nothing":           {"FROM scratch\nCOPY Dockerfile /\n", nil, nil},
		"a step's own name": {"FROM scratch\nCOPY Dockerfile /FROM-docker-image:evil@" + d + "\n", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			req := project(t, map[string]string{"Dockerfile": x.dockerfile})
			req.Target.Contexts = x.contexts
			if got := l.mustBuild(req).Bases; !slices.Equal(got, x.want) {
				t.Errorf("got %+v, want %+v", got, x.want)
			}
		})
	}
}

// TestAnnotations looks for annotations where their type puts them.
func TestAnnotations(t *testing.T) {
	l := useLab(t)
	req := project(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
	req.Target.Platforms = []string{"linux/amd64", "linux/arm64"}
	req.Target.Annotations = []string{
		"plain=1", "index,manifest:both=2", "manifest[linux/arm64]:one=3", "index-descriptor,manifest-descriptor:desc=4", "index:with=a=b,c",
	}
	res := l.mustBuild(req)
	i := image{t: t, store: openStore(t, res)}
	var index ocispec.Index
	i.read(ocispec.Descriptor{Digest: digest.Digest(res.Digest), Size: res.Size}, &index)
	if want := map[string]string{"both": "2", "with": "a=b,c"}; !maps.Equal(index.Annotations, want) {
		t.Errorf("the index has %v", index.Annotations)
	}
	for _, d := range index.Manifests {
		want := map[string]string{"plain": "1", "both": "2"}
		if d.Platform.Architecture == "arm64" {
			want["one"] = "3"
		}
		var m ocispec.Manifest
		i.read(d, &m)
		if !maps.Equal(m.Annotations, want) || d.Annotations["desc"] != "4" {
			t.Errorf("%s: the manifest has %v, its descriptor %v", d.Platform.Architecture, m.Annotations, d.Annotations)
		}
	}
}

// TestLayoutContext builds from an image in a folder.
func TestLayoutContext(t *testing.T) {
	l := useLab(t)
	req := project(t, map[string]string{"Dockerfile": "FROM base\nCOPY Dockerfile /\n"})
	path, err := layout.Write(filepath.Join(req.Dir, "img"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(busybox(t), layout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: "v1"})); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"oci-layout://img", "oci-layout://img:v1", "oci-layout://" + filepath.Join(req.Dir, "img")} {
		req.Target.Contexts = map[string]string{"base": where}
		if files, _ := open(t, l.mustBuild(req)).files(); files["bin/busybox"] == "" {
			t.Errorf("%s: %d files", where, len(files))
		}
	}
	req.Target.Contexts["base"] = "oci-layout://img:v2"
	if _, err := l.client().Build(t.Context(), req, event.Discard); err == nil || !strings.Contains(err.Error(), "none is tagged v2") {
		t.Errorf("a tag that is not there: %v", err)
	}
}

// TestEntitlements grants what a step asks for.
func TestEntitlements(t *testing.T) {
	l := useLab(t)
	req := project(t, map[string]string{"Dockerfile": `FROM busybox
RUN --security=insecure --network=host grep Seccomp: /proc/self/status > /seccomp
`})
	req.Target.Entitlements = []string{"network.host", "security.insecure"}
	if files, _ := open(t, l.mustBuild(req)).files(); !strings.Contains(files["seccomp"], "0") {
		t.Errorf("seccomp: %q", files["seccomp"])
	}
}

// TestReproducible builds the same files on two builders that share nothing,
// with other times, another snapshotter and in other folders.
func TestReproducible(t *testing.T) {
	files := map[string]string{
		"Dockerfile": `FROM busybox AS build
WORKDIR /work/deep
COPY a/ ./a/
RUN mkdir -p out/sub && date +%N > /tmp/never-copied && seq 1 2000 > out/sub/numbers && cp -r a out/ && rm -r /tmp/never-copied && touch out/empty
FROM busybox
COPY --from=build /work/deep/out /srv
COPY --link a/ /linked/
COPY <<EOT /heredoc
text
EOT
RUN rm /bin/wc && echo x >> /etc/added
`,
		"a/one": "1", "a/b/two": "2",
	}
	var digests []string
	for i, snapshotter := range []string{"overlayfs", "native"} {
		l := newLab(t)
		l.options.Embedded.Snapshotter = snapshotter
		req := project(t, files)
		for name := range files {
			when := time.Now().Add(-time.Duration(i) * 1000 * time.Hour)
			if err := os.Chtimes(filepath.Join(req.Dir, name), when, when); err != nil {
				t.Fatal(err)
			}
		}
		res := l.mustBuild(req)
		if files, latest := open(t, res).files(); latest.After(builder.LayerTime) || files["linked/one"] != "1" {
			t.Errorf("%s: a file is of %s, after %s", snapshotter, latest, builder.LayerTime)
		}
		digests = append(digests, res.Digest)
		req.NoCache = true
		digests = append(digests, l.mustBuild(req).Digest)
	}
	if len(slices.Compact(digests)) != 1 {
		t.Errorf("digests differ: %q", digests)
	}
}
