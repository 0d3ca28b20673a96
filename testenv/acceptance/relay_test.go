package acceptance

import (
	"bufio"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"dray/testenv/mirror"
	"dray/testenv/world"
)

// elsewhere is another machine with access to the same hosts: the same files,
// and a data folder that never had an image.
func elsewhere(t *testing.T, w *world.World) *world.World {
	t.Helper()
	other := *w
	other.Project, other.Data = t.TempDir(), t.TempDir()
	if err := os.CopyFS(other.Project, os.DirFS(w.Project)); err != nil {
		t.Fatal(err)
	}
	other.Env = append(slices.Clip(w.Env), "DRAY_DATA_DIR="+other.Data, "USER=colleague")
	return &other
}

// TestPromoteFromAnotherMachine promotes what this machine never had.
func TestPromoteFromAnotherMachine(t *testing.T) {
	t.Parallel()
	w := layeredApp(t, "", "", "test: t1", "prod: p1 p2")
	w.Dray(t, 0, "deploy", "test")
	other := elsewhere(t, w)
	first := moved(t, other, "promote", "prod")
	if s := other.Status(t); s["prod"].Images["web"] != s["test"].Images["web"] || s["prod"].Release != s["test"].Release {
		t.Errorf("status: %+v", s)
	}
	t.Run("only what is missing travels", func(t *testing.T) {
		w.Write(t, map[string]string{"page.txt": "two\n"})
		w.Dray(t, 0, "deploy", "test")
		second := moved(t, other, "promote", "prod")
		t.Logf("the first promotion moved %d bytes of layers to two hosts, the one of a changed line %d", first, second)
		if second == 0 || second > 8192 || first < 100*second {
			t.Errorf("the first promotion moved %d bytes, the second %d", first, second)
		}
		serves(t, w, "p1", "1")
	})
	t.Run("the host that has it goes away", func(t *testing.T) {
		// A layer that takes its time, so that there is a middle.
		w.Write(t, map[string]string{"big.bin": string(noise(t, make([]byte, 64<<20))), "Dockerfile": strings.Replace(layered, "COPY page.txt", "COPY big.bin /big.bin\nCOPY page.txt", 1)})
		w.Dray(t, 0, "deploy", "test")
		before := other.Status(t)["prod"]
		cmd := other.Command(t.Context(), "promote", "prod", "--json")
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		out := bufio.NewReader(pipe)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		text := readUntil(t, out, `"unit":"bytes"`)
		if err := w.Lab.Host("t1").Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		text += string(rest)
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("it ended with %v:\n%s", err, last(text, 3000))
		}
		t.Logf("it said: %s", last(text, 600))
		serves(t, w, "p1", "1")
		serves(t, w, "p2", "1")
		if err := w.Lab.Host("t1").Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := other.Status(t)["prod"]; s.Release != before.Release || s.Services["web"] != "2/2 healthy" || len(s.Notes) > 0 {
			t.Errorf("prod after the failure: %+v, before: %+v", s, before)
		}
		other.Dray(t, 0, "promote", "prod")
	})
}

// named has a service whose image is named, not built.
const named = `project = "shop"
host "t1" { address = "ssh://deploy@t1" }
host "p1" { address = "ssh://deploy@p1" }
service "box" {
  image   = "shop/box:1"
  command = ["/bin/busybox", "sleep", "100000"]
}
environment "test" { hosts = [host.t1] }
environment "prod" { hosts = [host.p1] }
`

// TestImagesByName brings an image that no target builds to hosts which can't
// reach its registry, and holds it by the lock file.
func TestImagesByName(t *testing.T) {
	t.Parallel()
	w := layeredApp(t, "", "", "test: t1", "prod: p1")
	w.Write(t, map[string]string{"dray.hcl": named})
	first := pushIndex(t, w.Mirror, 1)
	r := w.Dray(t, 0, "deploy", "test")
	says(t, r, "dray.lock.hcl", "now pins shop/box:1 at", "check it in")
	if got := w.Status(t)["test"].Images["box"]; got != first {
		t.Errorf("test runs %s, want %s", got, first)
	}
	// config, busybox's layer and the other layer of this platform; nothing of
	// the other platform's.
	if n := w.Mirror.Faults.Count("GET", "/v2/shop/box/blobs/"); n != 3 {
		t.Errorf("%d blobs were read from the registry, want 3", n)
	}
	if n := w.Mirror.Faults.Count("GET", "/v2/shop/box/manifests/"); n > 4 {
		t.Errorf("%d manifests were read from the registry", n)
	}
	lock := read(t, w, "dray.lock.hcl")
	if !strings.Contains(lock, "docker.io/shop/box:1") || !strings.Contains(lock, first) {
		t.Errorf("the lock file is\n%s", lock)
	}
	second := pushIndex(t, w.Mirror, 2)
	t.Run("the name moves on, the pin does not", func(t *testing.T) {
		r := w.Dray(t, 0, "deploy", "prod")
		if got := w.Status(t)["prod"].Images["box"]; got != first || strings.Contains(r.Stderr, "now pins") {
			t.Errorf("prod runs %s, want %s; %s", got, first, r)
		}
	})
	t.Run("update", func(t *testing.T) {
		r := w.Dray(t, 0, "update")
		if !strings.Contains(r.Stdout, "docker.io/shop/box:1") || !strings.Contains(r.Stdout, "check it in") {
			t.Errorf("%s", r)
		}
		w.Dray(t, 0, "deploy", "prod")
		if got := w.Status(t)["prod"].Images["box"]; got != second {
			t.Errorf("prod runs %s, want %s", got, second)
		}
		if r := w.Dray(t, 0, "update", "shop/box:1"); !strings.Contains(r.Stdout, "Nothing has changed") {
			t.Errorf("%s", r)
		}
	})
	t.Run("an image that is not there", func(t *testing.T) {
		w.Replace(t, "dray.hcl", "shop/box:1", "shop/none:1")
		w.Mirror.Faults.Clear()
		r := w.Dray(t, 1, "deploy", "test")
		says(t, r, "shop/none")
	})
}

// pushIndex puts an image for this platform and for another one under one name
// into the mirror, with something in it that differs by seed.
func pushIndex(t *testing.T, m *mirror.Mirror, seed int64) string {
	t.Helper()
	parse := func(text string) name.Reference {
		ref, err := name.ParseReference(m.Addr() + "/" + text)
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	base, err := remote.Image(parse("library/busybox:latest"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := base.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	index := v1.ImageIndex(empty.Index)
	for _, arch := range []string{config.Architecture, "riscv64"} {
		layer, err := random.Layer(1000*seed, "application/vnd.oci.image.layer.v1.tar")
		if err != nil {
			t.Fatal(err)
		}
		img, err := mutate.AppendLayers(base, layer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		c = c.DeepCopy()
		c.Architecture = arch
		if img, err = mutate.ConfigFile(img, c); err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	if err := remote.WriteIndex(parse("shop/box:1"), index); err != nil {
		t.Fatal(err)
	}
	d, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// TestPins looks that a base image is held to what it was when it was first
// built on.
func TestPins(t *testing.T) {
	t.Parallel()
	w := layeredApp(t, "", "", "test: t1")
	pushBase(t, w, "one")
	w.Write(t, map[string]string{"Dockerfile": strings.Replace(layered, "FROM busybox", "FROM team/base:1\nCOPY . /everything", 1)})
	if err := os.Remove(filepath.Join(w.Project, ".dockerignore")); err != nil {
		t.Fatal(err)
	}
	t.Run("a checkout that can't be written", func(t *testing.T) {
		// A mount of its own: root may write where the mode forbids it.
		cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-ec",
			`mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; cd "$1"; exec "$2" build`, "sh", w.Project, filepath.Join(w.Bin, "dray"))
		cmd.Env = append(slices.Clip(w.Env), "CI=true")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "could not be pinned") {
			t.Errorf("%v: %s", err, out)
		}
	})
	r := w.Dray(t, 0, "build")
	says(t, r, "now pins docker.io/team/base:1 at", "check it in")
	digest := strings.Fields(r.Stdout)[1]
	again := w.Dray(t, 0, "build")
	if strings.Fields(again.Stdout)[1] != digest || strings.Contains(again.Stderr, "now pins") {
		t.Errorf("the second build: %s", again)
	}
	pushBase(t, w, "two")
	later := elsewhere(t, w) // a year later, on a new machine
	if r := later.Dray(t, 0, "build"); strings.Fields(r.Stdout)[1] != digest {
		t.Errorf("with the base pinned to what it was: %s, want %s", r, digest)
	}
	later.Dray(t, 0, "builder", "stop")
	w.Dray(t, 0, "update", "team/base:1")
	if r := w.Dray(t, 0, "build"); strings.Fields(r.Stdout)[1] == digest {
		t.Errorf("after the update: %s", r)
	}
	t.Run("the pinned one is gone", func(t *testing.T) {
		w.Replace(t, "dray.lock.hcl", "sha256:", "sha256:00000000")
		lock := read(t, w, "dray.lock.hcl")
		i := strings.Index(lock, "sha256:00000000")
		w.Write(t, map[string]string{"dray.lock.hcl": lock[:i+len("sha256:")+64] + `"` + lock[strings.IndexByte(lock[i:], '"')+i+1:]})
		r := w.Dray(t, 1, "build")
		says(t, r, "dray update docker.io/team/base:1")
	})
}

// pushBase gives the mirror another team/base:1.
func pushBase(t *testing.T, w *world.World, what string) {
	t.Helper()
	parse := func(text string) name.Reference {
		ref, err := name.ParseReference(w.Mirror.Addr() + "/" + text)
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	base, err := remote.Image(parse("library/busybox:latest"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.Config(base, v1.Config{Env: []string{"BASE=" + what}})
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(parse("team/base:1"), img); err != nil {
		t.Fatal(err)
	}
}

// noise fills a buffer with what does not compress.
func noise(t *testing.T, b []byte) []byte {
	t.Helper()
	if _, err := rand.NewChaCha8([32]byte{1}).Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// readUntil reads lines until one holds text.
func readUntil(t *testing.T, r *bufio.Reader, text string) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if strings.Contains(line, text) {
			return all.String()
		}
		if err != nil {
			t.Fatalf("it ended before it said %s: %v\n%s", text, err, all.String())
		}
	}
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }
