package store_test

import (
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"dray/builder/registry"
	"dray/pipeline/event"
	"dray/targets/store"
)

// wantEmptyStore: no content, no layers.
func wantEmptyStore(t *testing.T, s *store.Store) {
	t.Helper()
	_ = s.Content().Walk(t.Context(), func(i content.Info) error { // a store that never had any has no folder to walk
		t.Errorf("content %s is left", i.Digest)
		return nil
	})
	images, err := s.Images(t.Context())
	if err != nil || len(images) != 0 {
		t.Errorf("images left: %v (%v)", images, err)
	}
}

func TestGCKeepsWhatIsNeeded(t *testing.T) {
	o := newOrigin(t)
	base := makeTar(t, file("base", noise(50_000)))
	kept := o.image(base, makeTar(t, file("kept", noise(10_000))))
	used := o.image(base, makeTar(t, file("used", noise(20_000))))
	dead := o.image(base, makeTar(t, file("dead", noise(30_000))))
	sources := peer(o)
	for _, kind := range []string{store.Overlay, store.Native} {
		t.Run(kind, func(t *testing.T) {
			s := open(t, store.Options{Snapshotter: kind, Grace: time.Nanosecond})
			keptImage, usedImage := pull(t, s, kept, sources), pull(t, s, used, sources)
			pull(t, s, dead, sources)
			if err := s.Retain(t.Context(), "release/1", []digest.Digest{keptImage.Digest}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Mount(t.Context(), "c1", usedImage.Digest, false); err != nil {
				t.Fatal(err)
			}
			freed, err := s.GC(t.Context())
			if err != nil || freed < 60_000 || kind == store.Overlay && freed > 80_000 {
				t.Errorf("freed %d (%v), want the dead image's layer twice, packed and unpacked", freed, err)
			}
			wantHas(t, s, map[digest.Digest]bool{kept.Digest: true, used.Digest: true, dead.Digest: false})
			wantFiles(t, mounted(t, s, "c2", pull(t, s, kept, nil)), map[string]string{"base": noise(50_000), "kept": noise(10_000)})
			for _, id := range []string{"c1", "c1", "never"} {
				if err := s.Remove(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Forget(t.Context(), "release/1"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestGCEmptiesAStoreThatNobodyNeeds(t *testing.T) {
	o := newOrigin(t)
	d := o.index(o.image(makeTar(t, file("a", noise(1000))), makeTar(t, file("b", "x"))))
	sources := peer(o)
	for _, kind := range []string{store.Overlay, store.Native} {
		dir := t.TempDir()
		s, err := store.Open(dir, store.Options{Snapshotter: kind, Grace: time.Nanosecond})
		if err != nil {
			t.Fatal(err)
		}
		pull(t, s, d, sources)
		if _, err := s.GC(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantEmptyStore(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(filepath.Join(dir, kind, "snapshots"), func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				t.Errorf("%s is left", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func wantHas(t *testing.T, s *store.Store, want map[digest.Digest]bool) {
	t.Helper()
	for d, w := range want {
		if has, err := s.Has(t.Context(), d); err != nil || has != w {
			t.Errorf("has %s: %v (%v), want %v", d, has, err, w)
		}
	}
}

func TestGraceSparesWhatWasJustPulled(t *testing.T) {
	o := newOrigin(t)
	d := o.image(makeTar(t, file("a", "x")))
	s := open(t, store.Options{Grace: time.Hour})
	pull(t, s, d, peer(o))
	if freed, err := s.GC(t.Context()); err != nil || freed != 0 {
		t.Errorf("freed %d (%v)", freed, err)
	}
	wantHas(t, s, map[digest.Digest]bool{d.Digest: true})
}

// TestGCBesidesPulls runs the collector all the time while images are pulled
// that share layers; none may lose any.
func TestGCBesidesPulls(t *testing.T) {
	o := newOrigin(t)
	base := makeTar(t, file("base", noise(50_000)))
	sources := peer(o)
	s := open(t, store.Options{Grace: time.Hour})
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
				if _, err := s.GC(t.Context()); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	for i := range 20 {
		img := pull(t, s, o.image(base, makeTar(t, file("f", noise(100+i)))), sources)
		wantHas(t, s, map[digest.Digest]bool{img.Digest: true})
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestRetainWantsTheImage(t *testing.T) {
	s := open(t, store.Options{})
	if err := s.Retain(t.Context(), "k", []digest.Digest{digest.FromString("x")}); !errdefs.IsNotFound(err) {
		t.Errorf("retaining what is not here: %v", err)
	}
}

func TestAHostHandsItsImageOn(t *testing.T) {
	o := newOrigin(t)
	d := o.index(o.image(makeTar(t, file("a", noise(5000)))))
	first, second := open(t, store.Options{}), open(t, store.Options{})
	pull(t, first, d, peer(o))
	from := []registry.Source{registry.Limit(first.Source(), d.Digest)}
	img, err := second.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Sources: from}, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, mounted(t, second, "c", img), map[string]string{"a": noise(5000)})
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if again, err := store.Open(dir, store.Options{}); err == nil {
		again.Close()
		t.Error("the store was opened twice")
	}
}
