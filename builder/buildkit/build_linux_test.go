package buildkit

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/docker/cli/cli/config"

	"dray/builder"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/secret"
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
	l := useLab(t)
	req := project(t, map[string]string{
		"Dockerfile":    "FROM scratch\nARG WHAT=none\nCOPY . /data/\nLABEL what=$WHAT\nCMD [\"/hello\"]\n",
		"hello":         "world " + t.Name() + "\n",
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
	if len(files) != 1 || files["data/hello"] != "world TestBuildFromScratch\n" {
		t.Errorf("files: %q", files)
	}
	if latest.After(builder.LayerTime) {
		t.Errorf("a file is of %s, after %s", latest, builder.LayerTime)
	}
	if got := img.config.Created; got == nil || !got.Equal(req.Epoch) {
		t.Errorf("created %v, want %v", got, req.Epoch)
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
	l := useLab(t)
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
		"word": "hello " + t.Name(),
	})
	req.Target.Stage = "final"
	var rec recorder
	res, err := l.client().Build(t.Context(), req, &rec)
	if err != nil {
		t.Fatal(err, detail(err))
	}
	files, _ := open(t, res).files()
	if got := files["out"]; got != "hello TestRunAndStages from pid 1\n" {
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
	req.NoCache = true
	_, err = l.client().Build(t.Context(), req, event.Discard)
	if err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("a secret that is not declared: %v", err)
	}
	req.Target.Secrets = []pipeline.BuildSecret{{ID: "token"}, {ID: "file"}}
	req.Secret = func(_ context.Context, s pipeline.BuildSecret) (secret.Value, error) {
		return secret.NewValue("s3cr3t " + s.ID), nil
	}
	if _, err := l.client().Build(t.Context(), req, event.Discard); err != nil {
		t.Errorf("secrets from the caller: %v", err)
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
	req.Platforms = []string{"linux/arm64"}
	img := open(t, l.mustBuild(req))
	if files, _ := img.files(); files["arch"] != "b" || img.config.Architecture != "arm64" {
		t.Errorf("%s: %q", img.config.Architecture, files)
	}
}

func TestFailures(t *testing.T) {
	l := useLab(t)
	at := pipeline.Pos{File: "Dockerfile", Line: 0, Column: 1}
	line := func(n int) pipeline.Pos { p := at; p.Line = n; return p }
	for _, tc := range []struct {
		name   string
		docker string
		change func(*builder.Request)
		at     pipeline.Pos
		reason string
		step   string
		output []string
		exit   int
		fault  string
	}{
		{
			name: "no Dockerfile", change: func(r *builder.Request) { r.Target.Dockerfile = "Dockerfil" },
			at: pipeline.Pos{File: "dray.hcl", Line: 3}, reason: "no Dockerfile at Dockerfil: no such file or directory",
		},
		{
			name: "no context", change: func(r *builder.Request) { r.Target.Context = "nowhere" },
			at: pipeline.Pos{File: "dray.hcl", Line: 3}, reason: "no context folder nowhere: no such file or directory",
		},
		{
			name: "unknown instruction", docker: "FROM busybox\n\nCOPPY a b\n",
			at: line(3), reason: "unknown instruction: COPPY (did you mean COPY?)", fault: "COPPY a b",
		},
		{
			name: "failing step", docker: "FROM busybox\nRUN echo one; \\\n    echo two >&2; sh -c 'exit 7'\n",
			at: line(2), reason: "the command failed with exit code 7", exit: 7, output: []string{"one", "two"}, step: "[2/2] RUN echo one;     echo two >&2; sh -c 'exit 7'",
			fault: "RUN echo one; \\",
		},
		{
			name: "missing file", docker: "FROM scratch\nCOPY nothing /\n",
			at: line(2), reason: `"/nothing": not found`, fault: "COPY nothing /",
		},
		{
			name: "unknown base", docker: "FROM nosuchimage:1\n",
			at: line(1), reason: "nosuchimage", fault: "FROM nosuchimage:1",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := project(t, map[string]string{"Dockerfile": tc.docker})
			if tc.change != nil {
				tc.change(&req)
			}
			_, err := l.client().Build(t.Context(), req, event.Discard)
			var f *builder.Failure
			if !errors.As(err, &f) {
				t.Fatalf("%T: %v", err, err)
			}
			t.Logf("%v\n%s", f, f.Detail())
			if f.At != tc.at || !strings.Contains(f.Reason, tc.reason) || f.ExitCode != tc.exit || f.Step != tc.step && tc.step != "" {
				t.Errorf("at %+v, reason %q, exit %d, step %q", f.At, f.Reason, f.ExitCode, f.Step)
			}
			slices.Sort(f.Output)
			if !slices.Equal(f.Output, tc.output) {
				t.Errorf("output %q, want %q", f.Output, tc.output)
			}
			i := slices.IndexFunc(f.Source, func(s builder.SourceLine) bool { return s.Fault })
			if tc.fault != "" && (i < 0 || f.Source[i].Text != tc.fault) {
				t.Errorf("source %+v, want %q marked", f.Source, tc.fault)
			}
		})
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
	now, err := l.client().Resolve(t.Context(), []string{"busybox", "docker.io/library/busybox:latest"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for ref, digest := range now {
		if digest != free.Bases[0].Digest {
			t.Errorf("%s resolves to %s, the build used %s", ref, digest, free.Bases[0].Digest)
		}
	}
	if _, err := l.client().Resolve(t.Context(), []string{"busybox:none"}, ""); err == nil || !strings.Contains(err.Error(), "busybox:none") {
		t.Errorf("resolving what does not exist: %v", err)
	}
	req.Pins["busybox"] = "sha256:" + strings.Repeat("0", 64)
	if _, err := l.client().Build(t.Context(), req, event.Discard); err == nil {
		t.Error("a pin to an image that does not exist was ignored")
	}
}

// TestSSH forwards an agent of this test to a step.
func TestSSH(t *testing.T) {
	l := useLab(t)
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	req := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN --mount=type=ssh,required=true [ -S \"$SSH_AUTH_SOCK\" ] && echo yes > /agent\n"})
	req.Target.SSH = []pipeline.BuildSSH{{ID: "default", Paths: []string{socket}}}
	files, _ := open(t, l.mustBuild(req)).files()
	if files["agent"] != "yes\n" || len(files) != 2 {
		t.Errorf("files: %v", slices.Sorted(maps.Keys(files)))
	}

	req.Target.SSH[0].Paths = []string{filepath.Join(t.TempDir(), "none")}
	var f *builder.Failure
	if _, err := l.client().Build(t.Context(), req, event.Discard); !errors.As(err, &f) || f.At.Line != 3 {
		t.Errorf("no agent: %v", err)
	}
}

// TestCacheFolder moves a build's cache to another builder through a folder.
func TestCacheFolder(t *testing.T) {
	req := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN date +%N > /when\n"})
	dir := filepath.Join(t.TempDir(), "cache")
	var built []string
	for range 2 {
		l := newLab(t)
		req.Target.CacheTo = []pipeline.CacheEntry{{Type: "local", Attrs: map[string]string{"dest": dir, "mode": "max"}}}
		req.Target.CacheFrom = []pipeline.CacheEntry{{Type: "local", Attrs: map[string]string{"src": dir}}}
		files, _ := open(t, l.mustBuild(req)).files()
		built = append(built, files["when"])
	}
	if built[0] == "" || built[0] != built[1] {
		t.Errorf("the step ran twice: %q", built)
	}
}

// TestCredentials builds from a registry that wants a password.
func TestCredentials(t *testing.T) {
	l := useLab(t)
	target, err := url.Parse(l.mirror.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer guarded.Close()
	host := strings.TrimPrefix(guarded.URL, "http://")
	req := project(t, map[string]string{"Dockerfile": "FROM " + host + "/library/busybox\nCOPY Dockerfile /\n"})

	dir := t.TempDir()
	config.SetDir(dir)
	_, err = l.client().Build(t.Context(), req, event.Discard)
	var f *builder.Failure
	if !errors.As(err, &f) || !strings.Contains(f.Next, "log in") {
		t.Errorf("without credentials: %v", err)
	}
	login := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("u:p")))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	l.mustBuild(req)
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
		digests = append(digests, l.mustBuild(req).Digest)
		req.NoCache = true
		digests = append(digests, l.mustBuild(req).Digest)
	}
	if len(slices.Compact(digests)) != 1 {
		t.Errorf("digests differ: %q", digests)
	}
}
