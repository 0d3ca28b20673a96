package acceptance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"dray/builder/registry"
	"dray/targets/api"
	"dray/testenv"
	"dray/testenv/mirror"
	"dray/testenv/world"
)

// layered has the app's image made of layers that change one by one.
const layered = `FROM busybox
COPY --chmod=755 app /app
COPY page.txt /page.txt
ARG VERSION
ENV VERSION=$VERSION
ENTRYPOINT ["/app"]
`

// layeredApp is a world whose project pushes to a registry.
func layeredApp(t *testing.T, address, more string, environments ...string) *world.World {
	t.Helper()
	var hosts []string
	for _, e := range environments {
		_, names, _ := strings.Cut(e, ":")
		hosts = append(hosts, strings.Fields(names)...)
	}
	w := world.New(t, testenv.Options{Hosts: hosts})
	w.App(t, environments...)
	w.Write(t, map[string]string{"Dockerfile": layered, "page.txt": "one\n"})
	if strings.HasPrefix(address, ":") {
		address = w.Lab.Gateway() + address
	}
	if address != "" {
		declare(t, w, address, more)
	}
	return w
}

// declare puts a registry block into the project's file.
func declare(t *testing.T, w *world.World, address, more string) {
	t.Helper()
	w.Replace(t, "dray.hcl", "project = \"shop\"\n", fmt.Sprintf("project = \"shop\"\nregistry {\n  address = %q\n%s\n}\n", address+"/shop", more))
}

// otherRegistry is go-containerregistry's, where the hosts can reach it.
func otherRegistry(t *testing.T, w *world.World) *mirror.Mirror {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(w.Lab.Gateway(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := mirror.Serve(context.WithoutCancel(t.Context()), t.TempDir(), l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// git runs git in the project.
func git(t *testing.T, w *world.World, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir = w.Project
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// remoteTag reads what a repository has under a tag.
func tagsOf(t *testing.T, repository string) []string {
	t.Helper()
	repo, err := name.NewRepository(repository, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	tags, err := remote.List(repo)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(tags)
	return tags
}

func remoteTag(t *testing.T, address string) *remote.Descriptor {
	t.Helper()
	ref, err := name.ParseReference(address, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	desc, err := remote.Get(ref)
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

// evidence lists the statements beside an image, by host.
func evidence(t *testing.T, repository, digest string) map[string]v1.Descriptor {
	t.Helper()
	ref, err := name.NewDigest(repository+"@"+digest, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Referrers(ref)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]v1.Descriptor{}
	for _, d := range m.Manifests {
		out[d.Annotations["dev.dray.environment"]+" "+d.Annotations["dev.dray.host"]] = d
	}
	return out
}

// moved runs dray with --json, and adds up what travelled to the hosts.
func moved(t *testing.T, w *world.World, args ...string) int64 {
	t.Helper()
	r := w.Dray(t, 0, append(args, "--json")...)
	var sum int64
	for line := range strings.Lines(r.Stdout) {
		var e struct {
			State string
			Done  int64
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.State == "prepared" {
			sum += e.Done
		}
	}
	return sum
}

// TestRegistry walks the road over a registry that hosts can reach.
func TestRegistry(t *testing.T) {
	t.Parallel()
	w := layeredApp(t, "", "", "test: t1", "prod: p1")
	far := otherRegistry(t, w)
	repository := far.Addr() + "/shop/web"
	t.Run("plain HTTP needs leave", func(t *testing.T) {
		declare(t, w, far.Addr(), "")
		r := w.Dray(t, 1, "push")
		says(t, r, "in the clear", "insecure = true", "No host was changed")
		w.Replace(t, "dray.hcl", far.Addr()+"/shop\"\n", far.Addr()+"/shop\"\n  insecure = true\n")
	})
	w.Replace(t, "dray.hcl", `  context = "."`, fmt.Sprintf("  context = \".\"\n  tags = [%q, %q]", repository+":stable", far.Addr()+"/elsewhere/web:1"))
	w.Dray(t, 0, "build") // pins the base, so that the commit below is a clean one
	git(t, w, "init")
	git(t, w, "add", ".")
	git(t, w, "commit", "-m", "first")
	var digest string
	t.Run("push names it, and sends it once", func(t *testing.T) {
		w.Dray(t, 0, "push")
		commit := "git-" + git(t, w, "rev-parse", "HEAD")[:12]
		digest = remoteTag(t, repository+":"+commit).Digest.String()
		for _, tag := range []string{"/shop/web:stable", "/elsewhere/web:1"} {
			if got := remoteTag(t, far.Addr()+tag).Digest.String(); got != digest {
				t.Errorf("%s is %s, %s is %s", tag, got, commit, digest)
			}
		}
		if tags := tagsOf(t, repository); !slices.Equal(tags, []string{commit, "stable"}) {
			t.Errorf("the repository has tags %q: none moves that the file does not name", tags)
		}
		sent := far.Faults.Count("PATCH", "")
		w.Dray(t, 0, "push")
		if again := far.Faults.Count("PATCH", ""); again != sent {
			t.Errorf("the second push sent %d blobs", again-sent)
		}
		t.Logf("a push sent %d blobs, the next none", sent)
	})
	t.Run("hosts pull from it, and their evidence goes there", func(t *testing.T) {
		before := far.Faults.Count("GET", "/shop/web/blobs/")
		w.Dray(t, 0, "deploy", "test")
		if n := far.Faults.Count("GET", "/shop/web/blobs/") - before; n != 4 { // config and 3 layers
			t.Errorf("t1 fetched %d blobs from the registry, want 4", n)
		}
		w.Dray(t, 0, "promote", "prod")
		for env, s := range w.Status(t) {
			if s.Images["web"] != digest {
				t.Errorf("%s runs %s, want %s", env, s.Images["web"], digest)
			}
		}
		got := evidence(t, repository, digest)
		if len(got) != 2 || got["test t1"].Size == 0 || got["prod p1"].Size == 0 {
			t.Fatalf("referrers: %+v", got)
		}
		checkEnvelope(t, repository, got["prod p1"], digest)
	})
	t.Run("one line changed sends one layer", func(t *testing.T) {
		w.Write(t, map[string]string{"page.txt": "two\n"})
		sent, fetched := far.Faults.Count("PATCH", ""), far.Faults.Count("GET", "/shop/web/blobs/")
		bytes := moved(t, w, "deploy", "test")
		sent, fetched = far.Faults.Count("PATCH", "")-sent, far.Faults.Count("GET", "/shop/web/blobs/")-fetched
		// The layer and the config to the registry, and for the other
		// repository's tag none: those are mounted or there. The evidence is two more.
		t.Logf("one line: %d blobs pushed, %d fetched by the host, %d bytes of layers", sent, fetched, bytes)
		if fetched != 2 || bytes > 4096 {
			t.Errorf("the host fetched %d blobs, %d bytes of layers; want the config and one small layer", fetched, bytes)
		}
	})
	t.Run("a registry that lies to a host", func(t *testing.T) {
		far.Faults.Corrupt(1)
		r := w.Dray(t, 0, "promote", "prod")
		far.Faults.Clear()
		says(t, r, "warning", far.Addr())
		if s := w.Status(t); s["prod"].Images["web"] != s["test"].Images["web"] {
			t.Errorf("status: %+v", s)
		}
	})
	t.Run("a registry that stalls", func(t *testing.T) {
		far.Faults.Stall()
		defer far.Faults.Clear()
		w.Write(t, map[string]string{"page.txt": "three\n"})
		r := w.Dray(t, 1, "deploy", "test")
		says(t, r, "has not answered within", "No host was changed")
		if r.Took > 25*time.Second {
			t.Errorf("it took %s", r.Took)
		}
		serves(t, w, "t1", "1")
	})
	t.Run("a registry that stalls after the push", func(t *testing.T) {
		w.Dray(t, 0, "deploy", "test")
		far.Faults.Stall()
		defer far.Faults.Clear()
		r := w.Dray(t, 0, "promote", "prod")
		says(t, r, "warning", "the evidence for release")
		if n := strings.Count(r.Stderr, "trying the deployer"); n != 1 {
			t.Errorf("%d warnings about one registry: %s", n, r)
		}
		if s := w.Status(t); s["prod"].Images["web"] != s["test"].Images["web"] {
			t.Errorf("status: %+v", s)
		}
		t.Logf("promoted past a stalled registry in %s", r.Took)
	})
	t.Run("a registry that fails", func(t *testing.T) {
		far.Faults.Fail(1000, http.StatusInternalServerError)
		defer far.Faults.Clear()
		w.Write(t, map[string]string{"page.txt": "four\n"})
		r := w.Dray(t, 1, "deploy", "test")
		says(t, r, far.Addr(), "No host was changed")
		if r.Took > 25*time.Second {
			t.Errorf("it took %s", r.Took)
		}
	})
	t.Run("a registry that is down", func(t *testing.T) {
		w.Replace(t, "dray.hcl", far.Addr(), net.JoinHostPort(w.Lab.Gateway(), "1"))
		r := w.Dray(t, 1, "deploy", "test")
		says(t, r, "can't be reached", "No host was changed")
		serves(t, w, "t1", "1")
	})
}

// checkEnvelope reads a host's statement from the registry.
func checkEnvelope(t *testing.T, repository string, desc v1.Descriptor, digest string) {
	t.Helper()
	ref, err := name.NewDigest(repository+"@"+desc.Digest.String(), name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := img.Manifest(); err != nil || m.ArtifactType != api.EvidencePayload {
		t.Fatalf("the manifest is %+v (%v)", m, err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers: %v", len(layers), err)
	}
	r, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var envelope struct {
		PayloadType, Payload string
		Signatures           []any
	}
	if err := json.NewDecoder(r).Decode(&envelope); err != nil {
		t.Fatal(err)
	}
	statement, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil || envelope.PayloadType != api.EvidencePayload || len(envelope.Signatures) == 0 || !strings.Contains(string(statement), strings.TrimPrefix(digest, "sha256:")) {
		t.Errorf("the statement is %+v %s (%v)", envelope, statement, err)
	}
}

// TestRegistryLogin pushes to registries that want to know who asks.
func TestRegistryLogin(t *testing.T) {
	t.Parallel()
	w := layeredApp(t, "", "", "test: t1")
	for _, kind := range []string{"basic", "token"} {
		t.Run(kind, func(t *testing.T) {
			address := loginRegistry(t, w, kind)
			w.App(t, "test: t1")
			w.Write(t, map[string]string{"Dockerfile": layered, "page.txt": kind})
			declare(t, w, address, "  insecure = true")
			for password, fault := range map[string]string{"": "asks for a login", "wrong": "refuses the login of ci"} {
				login(t, w, address, password)
				r := w.Dray(t, 1, "deploy", "test")
				says(t, r, fault, "No host was changed", "Next: docker login "+address)
			}
			login(t, w, address, "s3cret")
			r := w.Dray(t, 0, "deploy", "test")
			if strings.Contains(r.Stderr, "warning") {
				t.Errorf("%s", r)
			}
			secret, err := w.Lab.Host("t1").Exec(t.Context(), "sh", "-c", "grep -rlsa s3cret /var/lib/dray /run/dray || true")
			if err != nil || strings.TrimSpace(secret) != "" {
				t.Errorf("the password is on the host: %s (%v)", secret, err)
			}
		})
	}
}

// login writes docker's config as docker login does.
func login(t *testing.T, w *world.World, address, password string) {
	t.Helper()
	dir := t.TempDir()
	auths := map[string]any{}
	if password != "" {
		auths[address] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("ci:" + password))}
	}
	b, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	w.Env = append(w.Env, "DOCKER_CONFIG="+dir)
}

// loginRegistry is a registry where hosts reach it, that asks for the login
// ci, s3cret: by itself, or with a token from its token server. It counts on
// nothing being read without.
func loginRegistry(t *testing.T, w *world.World, kind string) string {
	t.Helper()
	store, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	backend := registry.Handler(store.Source(), registry.HandlerOptions{Names: store, Content: store.Content()})
	l, err := net.Listen("tcp", net.JoinHostPort(w.Lab.Gateway(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		known := user == "ci" && password == "s3cret"
		switch {
		case r.URL.Path == "/token" && known:
			fmt.Fprint(rw, `{"token":"let-me-in"}`)
		case kind == "token" && r.Header.Get("Authorization") == "Bearer let-me-in", kind == "basic" && known:
			backend.ServeHTTP(rw, r)
		default:
			challenge := `Basic realm="shop"`
			if kind == "token" {
				challenge = fmt.Sprintf(`Bearer realm="http://%s/token",service="shop"`, r.Host)
			}
			rw.Header().Set("WWW-Authenticate", challenge)
			rw.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(rw, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}`)
		}
	}))
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return l.Addr().String()
}

// TestServedRegistry uses dray's own registry, on a loopback address that
// hosts can't use.
func TestServedRegistry(t *testing.T) {
	t.Parallel()
	w := layeredApp(t, "", "", "test: t1")
	data := t.TempDir()
	address, stop := serveRegistry(t, w, data, "127.0.0.1:0")
	declare(t, w, address, `  tags = ["latest"]`)
	r := w.Dray(t, 0, "deploy", "test")
	if strings.Contains(r.Stderr, "warning") {
		t.Errorf("a loopback address was tried elsewhere: %s", r)
	}
	repository := address + "/shop/web"
	first := remoteTag(t, repository+":latest")
	if n := len(evidence(t, repository, first.Digest.String())); n != 1 {
		t.Errorf("%d statements, want 1", n)
	}
	stop()
	_, stop = serveRegistry(t, w, data, address)
	defer stop()
	ref, err := name.ParseReference(repository + ":latest")
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	again, err := name.ParseReference(address + "/copy/web:2")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(again, img); err != nil { // reads all layers back, and pushes
		t.Fatal(err)
	}
	if got := remoteTag(t, address+"/copy/web:2"); got.Digest != first.Digest {
		t.Errorf("the copy is %s, not %s", got.Digest, first.Digest)
	}
	if err := remote.Delete(ref.Context().Digest(first.Digest.String())); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Get(ref); err == nil {
		t.Error("a deleted image is still there under its tag")
	}
	collected(t, data, again)
}

// collected looks that a collection keeps what has a name, and drops what has
// none.
func collected(t *testing.T, data string, kept name.Reference) {
	t.Helper()
	store, err := registry.Open(filepath.Join(data, "images"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.GC(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(kept)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Error(err)
		}
		r.Close()
	}
	if err := remote.Delete(kept); err != nil {
		t.Fatal(err)
	}
	freed, err := store.GC(t.Context(), 0)
	if err != nil || freed < 1<<20 {
		t.Errorf("a collection of everything freed %d bytes: %v", freed, err)
	}
}

// serveRegistry runs dray registry serve.
func serveRegistry(t *testing.T, w *world.World, data, listen string) (address string, stop func()) {
	t.Helper()
	cmd := w.Command(context.WithoutCancel(t.Context()), "registry", "serve", "--listen", listen)
	cmd.Env = append(cmd.Env, "DRAY_DATA_DIR="+data)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, out) // until it ends
	fields := strings.Fields(string(line[:n]))
	return fields[len(fields)-1], func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the registry ended with %v", err)
		}
	}
}
