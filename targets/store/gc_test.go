package store_test

import (
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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
			freed, err := s.GC(t.Context(), true)
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
		if _, err := s.GC(t.Context(), true); err != nil {
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
	if freed, err := s.GC(t.Context(), true); err != nil || freed != 0 {
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
				if _, err := s.GC(t.Context(), true); err != nil {
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
	from := []registry.Source{registry.Limit(first.Source(), func() []digest.Digest { return []digest.Digest{d.Digest} })}
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

// TestFoldersThatWereNotRecorded opens a store whose process was killed after it
// made the folder of a snapshot and before it recorded that: the first one ever,
// and a later one.
func TestFoldersThatWereNotRecorded(t *testing.T) {
	o := newOrigin(t)
	sources := peer(o)
	for _, kind := range []string{store.Overlay, store.Native} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			for i, body := range []string{"first", "second"} {
				s, err := store.Open(dir, store.Options{Snapshotter: kind})
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				for number := range 9 { // of which one is the next
					left := filepath.Join(dir, kind, "snapshots", strconv.Itoa(number+1))
					if err := os.Mkdir(left, 0o700); err != nil && i == 0 {
						t.Fatal(err)
					} else if err == nil {
						write(t, filepath.Join(left, "half"))
					}
				}
				if s, err = store.Open(dir, store.Options{Snapshotter: kind}); err != nil {
					t.Fatal(err)
				}
				d := o.image(makeTar(t, file("name", body)))
				wantFiles(t, mounted(t, s, body, pull(t, s, d, sources)), map[string]string{"name": body})
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("left"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestKilledInMidPull runs a pull in a process of its own and kills it while
// layers arrive, several times. Each time the store must open, tell the truth,
// and in the end have the image without fetching what it had.
func TestKilledInMidPull(t *testing.T) {
	if socket := os.Getenv("STORE_TEST_SOCKET"); socket != "" {
		s, err := store.Open(os.Getenv("STORE_TEST_DIR"), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := digest.Digest(os.Getenv("STORE_TEST_DIGEST"))
		_, err = s.Pull(t.Context(), store.PullRequest{Digest: d, Sources: []registry.Source{registry.Peer(socket)}}, event.Discard)
		t.Fatal("the pull was not interrupted: ", err)
	}
	o := newOrigin(t)
	small, big := makeTar(t, file("small", noise(1000))), makeTar(t, file("big", noise(3<<20)))
	d := o.image(small, big)
	reached := make(chan struct{}, 100)
	socket := o.listen(stoppingAt(1<<20, reached))
	var c traffic
	counted := o.listen(c.wrap)
	dir := t.TempDir()
	for range 2 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledInMidPull$")
		cmd.Env = append(os.Environ(), "STORE_TEST_DIR="+dir, "STORE_TEST_SOCKET="+socket, "STORE_TEST_DIGEST="+d.Digest.String())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-reached
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the process ended by itself")
		}
		s, err := store.Open(dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		wantHas(t, s, map[digest.Digest]bool{d.Digest: false})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	img := pull(t, s, d, []registry.Source{registry.Peer(counted)})
	wantFiles(t, mounted(t, s, "c", img), map[string]string{"small": noise(1000), "big": noise(3 << 20)})
	if n := c.bytes.Load(); n > 2<<20 {
		t.Errorf("%d bytes travelled again of 3 MiB, of which at least 1 MiB was here", n)
	}
}

// stoppingAt sends n bytes of each blob that is larger, says so, and then
// nothing until the reader leaves.
func stoppingAt(n int64, reached chan<- struct{}) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet {
				w = &stopWriter{w, n, r, reached}
			}
			next.ServeHTTP(w, r)
		})
	}
}

type stopWriter struct {
	http.ResponseWriter
	left    int64
	r       *http.Request
	reached chan<- struct{}
}

func (w *stopWriter) Write(b []byte) (int, error) {
	if int64(len(b)) > w.left {
		w.ResponseWriter.Write(b[:w.left])      // the reader is about to be killed
		w.ResponseWriter.(http.Flusher).Flush() // so that the reader has them when it is
		w.reached <- struct{}{}
		<-w.r.Context().Done()
		return 0, w.r.Context().Err()
	}
	w.left -= int64(len(b))
	return w.ResponseWriter.Write(b)
}

// TestWhatArrivedStaysForADay cuts a pull after its first layer: the collector
// leaves that layer for the next pull, until it is a day old.
func TestWhatArrivedStaysForADay(t *testing.T) {
	o := newOrigin(t)
	d := o.image(makeTar(t, file("a", noise(500_000))), makeTar(t, file("b", noise(1000))))
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{Grace: time.Nanosecond, Parallel: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cut := onceThenGone(registry.Peer(o.listen(nil)))
	if _, err := s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "x", Sources: []registry.Source{cut}}, event.Discard); err == nil {
		t.Fatal("the pull succeeded")
	}
	if freed, err := s.GC(t.Context(), false); err != nil || freed != 0 {
		t.Errorf("freed %d (%v) of what had arrived", freed, err)
	}
	var c traffic
	pull(t, s, d, []registry.Source{registry.Peer(o.listen(c.wrap))})
	if n := c.bytes.Load(); n > 100_000 {
		t.Errorf("%d bytes travelled again", n)
	}
	aged := time.Now().Add(-25 * time.Hour)
	err = filepath.WalkDir(filepath.Join(dir, "content", "blobs"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			err = os.Chtimes(path, aged, aged)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if freed, err := s.GC(t.Context(), false); err != nil || freed < 500_000 {
		t.Errorf("freed %d (%v) after a day", freed, err)
	}
	wantEmptyStore(t, s)
}
