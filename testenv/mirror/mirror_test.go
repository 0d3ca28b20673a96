package mirror_test

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"dray/testenv/mirror"
)

func start(t *testing.T, dir string) *mirror.Mirror {
	t.Helper()
	m, err := mirror.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func ref(t *testing.T, m *mirror.Mirror, image string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(m.Addr() + "/" + image)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pull(t *testing.T, m *mirror.Mirror, image string) v1.Image {
	t.Helper()
	img, err := remote.Image(ref(t, m, image), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestBusyboxIsTheSameWheneverMade(t *testing.T) {
	var digests []v1.Hash
	dir := t.TempDir()
	for _, cache := range []string{dir, dir, t.TempDir()} { // made, found, made again
		img := pull(t, start(t, cache), "library/busybox:latest")
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest)
	}
	if digests[0] != digests[1] || digests[0] != digests[2] {
		t.Errorf("the same image has the digests %v", digests)
	}
	left, err := filepath.Glob(filepath.Join(dir, "making-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the cache: %v %v", left, err)
	}
}

func TestByDigestAfterARestart(t *testing.T) {
	dir := t.TempDir()
	digest, err := pull(t, start(t, dir), "library/busybox:latest").Digest()
	if err != nil {
		t.Fatal(err)
	}
	pull(t, start(t, dir), "library/busybox@"+digest.String())
}

func TestBusyboxRuns(t *testing.T) {
	root := unpack(t, pull(t, start(t, mirror.CacheDir()), "library/busybox:latest"))
	out, err := exec.CommandContext(t.Context(), "chroot", root, "sh", "-c", "whoami; ls -d /tmp /root; env echo fine").CombinedOutput()
	if err != nil || string(out) != "root\n/root\n/tmp\nfine\n" {
		t.Errorf("%v %s", err, out)
	}
}

// The image must build a server without compiling the standard library anew.
func TestGolangBuilds(t *testing.T) {
	img := pull(t, start(t, mirror.CacheDir()), "library/golang:1.26")
	root := unpack(t, img)
	src := filepath.Join(root, "src")
	write(t, filepath.Join(src, "go.mod"), "module x\ngo 1.26\n")
	write(t, filepath.Join(src, "main.go"), "package main\nimport (\"fmt\"; \"net/http\")\nfunc main() { fmt.Println(http.StatusText(418)) }\n")
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--fork", "sh", "-c",
		`mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" sh -c "$1"`, root,
		"cd /src && go build -trimpath -x -o /x . 2>/trace && /x")
	cmd.Env = append(slices.Clone(config.Config.Env), "HOME=/root")
	began := time.Now()
	out, err := cmd.CombinedOutput()
	t.Logf("go build took %v", time.Since(began))
	trace, rerr := os.ReadFile(filepath.Join(root, "trace"))
	if err != nil || rerr != nil {
		t.Fatalf("%v %v %s\n%s", err, rerr, out, trace)
	}
	if n := strings.Count(string(trace), "/compile -o"); n != 1 {
		t.Errorf("%d packages were compiled, not the program's alone", n)
	}
	if string(out) != "I'm a teapot\n" {
		t.Errorf("the program says %s", out)
	}
}

func TestUnknownImage(t *testing.T) {
	_, err := remote.Image(ref(t, start(t, t.TempDir()), "library/nothing:latest"))
	if err == nil || !strings.Contains(err.Error(), "MANIFEST_UNKNOWN") && !strings.Contains(err.Error(), "NAME_UNKNOWN") {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	m := start(t, t.TempDir())
	once := remote.WithRetryBackoff(remote.Backoff{Duration: time.Millisecond, Steps: 1})
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	at := ref(t, m, "some/image:v1")
	if err := remote.Write(at, img); err != nil {
		t.Fatal(err)
	}
	check := func() error {
		got, err := remote.Image(at, remote.WithContext(t.Context()), once)
		if err != nil {
			return err
		}
		return validate.Image(got)
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	m.Faults.Fail(2, http.StatusInternalServerError)
	if err := check(); err == nil {
		t.Error("a registry that fails gives an image")
	}
	m.Faults.Clear()
	m.Faults.Corrupt(1)
	if err := check(); err == nil {
		t.Error("a corrupted blob is taken for good")
	}
	if err := check(); err != nil {
		t.Errorf("after the faults: %v", err)
	}
	if n := m.Faults.Count(http.MethodGet, "/some/image/blobs/"); n < 3 {
		t.Errorf("%d fetches of blobs were counted", n)
	}
}

func TestStall(t *testing.T) {
	m := start(t, t.TempDir())
	m.Faults.Stall()
	answered := make(chan error, 1)
	go func() {
		answer, err := http.Get("http://" + m.Addr() + "/v2/")
		if err == nil {
			err = answer.Body.Close()
		}
		answered <- err
	}()
	for m.Faults.Count(http.MethodGet, "/v2/") == 0 {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-answered:
		t.Errorf("a stalled registry answers: %v", err)
	default:
	}
	m.Faults.Clear()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// unpack lays an image out in a folder.
func unpack(t *testing.T, img v1.Image) string {
	t.Helper()
	root := t.TempDir()
	flat := mutate.Extract(img)
	defer flat.Close()
	for r := tar.NewReader(flat); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := unpackOne(filepath.Join(root, h.Name), h, r); err != nil {
			t.Fatal(err)
		}
	}
}

func unpackOne(at string, h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(at, 0o755)
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, at)
	}
	f, err := os.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fs.FileMode(h.Mode).Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close(), os.Chtimes(at, h.ModTime, h.ModTime))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}
