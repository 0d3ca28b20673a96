package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs makes a folder with two real programs.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip("needs /proc/self/exe:", err)
	}
	for _, name := range Programs {
		if err := os.WriteFile(filepath.Join(dir, name), append(self[:len(self):len(self)], name...), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMakeIsStable(t *testing.T) {
	dir := programs(t)
	for _, name := range Programs { // enough to be several blocks of gzip's
		if err := os.Truncate(filepath.Join(dir, name), 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	var one, two bytes.Buffer
	first, err := Make(&one, "amd64", dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Make(&two, "amd64", dir, 1); err != nil || second.Digest != first.Digest || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("made again, it differs: %v", err)
	}
	if best, err := Make(io.Discard, "amd64", dir, 9); err != nil || best.Digest != first.Digest || best.Archive == first.Archive {
		t.Errorf("the digest depends on the compression, or the archive's does not: %v", err)
	}
	if first.Archive != sum(one.Bytes()) || first.Size != int64(one.Len()) {
		t.Errorf("the record %+v is not that of the archive", first)
	}
	members := unpack(t, one.Bytes())
	if sum(members[ManifestName]) != first.Digest {
		t.Errorf("the digest is not that of the manifest")
	}
	for _, name := range Programs {
		if sum(members[name]) != first.Manifest.Files[name] {
			t.Errorf("%s is not what the manifest says", name)
		}
	}
}

// unpack uses other code than Make does.
func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	members := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		if members[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindKeepsTheBundle(t *testing.T) {
	dir := programs(t)
	t.Setenv(EnvDir, dir)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	arch := programArch(filepath.Join(dir, "drayd"))
	first, err := Find(arch)
	if err != nil {
		t.Fatal(err)
	}
	r, err := first.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, r); err != nil || "sha256:"+hex.EncodeToString(hash.Sum(nil)) != first.Archive {
		t.Errorf("the archive is not the one that is named: %v", err)
	}
	if again, err := Find(arch); err != nil || again.Digest != first.Digest {
		t.Errorf("found again: %+v %v", again, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dray-oci"), append(mustRead(t, filepath.Join(dir, "drayd")), '!'), 0o755); err != nil {
		t.Fatal(err)
	}
	if changed, err := Find(arch); err != nil || changed.Digest == first.Digest {
		t.Errorf("a changed program gives the same bundle: %v", err)
	}
	kept, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "dray/bundles/*.tar.gz"))
	if err != nil || len(kept) != 2 {
		t.Fatalf("kept: %v %v", kept, err)
	}
	for _, path := range kept { // damaged, it is made anew
		if err := os.Truncate(path, 100); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := Find(arch); err != nil || b.Size == 100 {
		t.Errorf("with a damaged cache: %+v %v", b, err)
	}
}

func TestFindNothing(t *testing.T) {
	t.Setenv(EnvDir, t.TempDir())
	if _, err := Find("arm64"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find: %v", err)
	}
}

// TestEmbedded builds a program with an embedded bundle, and asks it.
func TestEmbedded(t *testing.T) {
	dist := "dist"
	if _, err := os.Stat(dist); err == nil {
		t.Skip("deploy/bundle/dist is in use by a build")
	}
	dir := programs(t)
	arch := programArch(filepath.Join(dir, "drayd"))
	made := exec.Command("go", "run", "./cmd/mkbundle", "-arch", arch, "-bin", dir, "-out", dist)
	t.Cleanup(func() { _ = os.RemoveAll(dist) })
	if out, err := made.CombinedOutput(); err != nil {
		t.Fatalf("mkbundle: %v %s", err, out)
	}
	out, err := exec.Command("go", "test", "-tags", "bundled", "-run", "^TestAskEmbedded$", "-v", ".").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("embedded bundle is whole")) {
		t.Errorf("%v %s", err, out)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
