package store_test

import (
	"archive/tar"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
	"dray/pipeline/event"
	"dray/targets/store"
)

func open(t testing.TB, opts store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func peer(o *origin) []registry.Source {
	return []registry.Source{registry.Peer(o.listen(nil))}
}

func pull(t testing.TB, s *store.Store, d ocispec.Descriptor, sources []registry.Source) store.Image {
	t.Helper()
	img, err := s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "shop/web", Sources: sources}, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// mounted gives the root of a container, mounted until the test ends.
func mounted(t testing.TB, s *store.Store, id string, img store.Image) string {
	t.Helper()
	mounts, err := s.Mount(t.Context(), id, img.Digest, false)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := mount.All(mounts, root); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mount.UnmountAll(root, 0); err != nil {
			t.Error(err)
		}
	})
	return root
}

// bothSnapshotters runs a test on overlay and on native.
func bothSnapshotters(t *testing.T, test func(*testing.T, *store.Store)) {
	for _, kind := range []string{store.Overlay, store.Native} {
		t.Run(kind, func(t *testing.T) { test(t, open(t, store.Options{Snapshotter: kind})) })
	}
}

func TestPullFromAPeerAndMount(t *testing.T) {
	o := newOrigin(t)
	base := makeTar(t,
		folder("etc", 0o700), file("etc/passwd", "root"), file("etc/gone", "x"), folder("opaque", 0o755), file("opaque/old", "x"),
		folder("tmp", 0o1777), entry{tar.Header{Name: "bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"}, ""},
		folder("usr", 0o755), folder("usr/bin", 0o755),
		entry{tar.Header{Name: "usr/bin/su", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 2, Uid: 0}, "su"},
	)
	top := makeTar(t,
		file("etc/.wh.gone", ""), file("etc/hosts", "new"), // no entry for etc: it keeps 0700
		file("opaque/.wh..wh..opq", ""), file("opaque/new", "y"),
		file("tmp/a/b", "deep"),
		link(tar.TypeLink, "etc/hosts2", "etc/hosts"),
	)
	idx := o.index(o.image(base, top))
	sources := peer(o)
	bothSnapshotters(t, func(t *testing.T, s *store.Store) {
		img := pull(t, s, idx, sources)
		if img.Config.Config.Cmd[0] != "/bin/true" || len(img.Layers) != 2 || img.Config.Architecture != runtime.GOARCH {
			t.Errorf("image is %+v", img)
		}
		root := mounted(t, s, "c1", img)
		wantFiles(t, root, map[string]string{"etc/passwd": "root", "etc/hosts": "new", "etc/hosts2": "new", "opaque/new": "y", "tmp/a/b": "deep", "bin/su": "su"})
		wantMissing(t, root, "etc/gone", "opaque/old")
		wantModes(t, root, map[string]os.FileMode{"etc": os.ModeDir | 0o700, "tmp": os.ModeDir | os.ModeSticky | 0o777, "tmp/a": os.ModeDir | 0o755, "usr/bin/su": os.ModeSetuid | 0o755})
	})
}

func wantFiles(t *testing.T, root string, want map[string]string) {
	t.Helper()
	for name, body := range want {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || string(b) != body {
			t.Errorf("%s holds %q (%v), want %q", name, b, err, body)
		}
	}
}

func wantMissing(t *testing.T, root string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(root, name)); !os.IsNotExist(err) {
			t.Errorf("%s is there (%v)", name, err)
		}
	}
}

func wantModes(t *testing.T, root string, want map[string]os.FileMode) {
	t.Helper()
	for name, mode := range want {
		fi, err := os.Lstat(filepath.Join(root, name))
		if err != nil || fi.Mode() != mode {
			t.Errorf("%s has mode %v (%v), want %v", name, fi.Mode(), err, mode)
		}
	}
}

func TestContainersWriteApart(t *testing.T) {
	o := newOrigin(t)
	d := o.image(makeTar(t, file("a", "1")))
	sources := peer(o)
	bothSnapshotters(t, func(t *testing.T, s *store.Store) {
		img := pull(t, s, d, sources)
		one, two := mounted(t, s, "one", img), mounted(t, s, "two", img)
		if err := os.WriteFile(filepath.Join(one, "a"), []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
		wantFiles(t, two, map[string]string{"a": "1"})
		again, err := s.Mount(t.Context(), "one", img.Digest, false)
		if err != nil {
			t.Fatal(err)
		}
		before, err := s.Mounts(t.Context(), "one")
		if err != nil || again[0].Source != before[0].Source || len(again) != 1 {
			t.Errorf("mounting again gave %v, before %v (%v)", again, before, err)
		}
		if bytes, inodes, err := s.Usage(context.Background(), "one"); err != nil || bytes == 0 || inodes == 0 {
			t.Errorf("usage is %d bytes, %d files (%v)", bytes, inodes, err)
		}
	})
}
