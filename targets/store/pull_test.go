package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"dray/builder/registry"
	"dray/pipeline/event"
	"dray/targets/store"
)

// noise is content that does not compress.
func noise(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), 7}).Read(b)
	return string(b)
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

// traffic counts the bytes of blobs that a handler sends.
type traffic struct {
	bytes    atomic.Int64
	requests atomic.Int64
}

func (c *traffic) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet {
			c.requests.Add(1)
			w = &countingWriter{w, c}
		}
		next.ServeHTTP(w, r)
	})
}

type countingWriter struct {
	http.ResponseWriter
	c *traffic
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.c.bytes.Add(int64(n))
	return n, err
}

func TestOnlyMissingLayersTravel(t *testing.T) {
	o := newOrigin(t)
	base, one, two := makeTar(t, file("base", noise(200_000))), makeTar(t, file("one", noise(1000))), makeTar(t, file("two", noise(2000)))
	first, second := o.image(base, one), o.image(base, two)
	var c traffic
	sources := []registry.Source{registry.Peer(o.listen(c.wrap))}
	bothSnapshotters(t, func(t *testing.T, s *store.Store) {
		c.bytes.Store(0)
		pull(t, s, first, sources)
		if c.bytes.Load() < 200_000 {
			t.Errorf("only %d bytes travelled for the first image", c.bytes.Load())
		}
		c.bytes.Store(0)
		pull(t, s, second, sources)
		if n := c.bytes.Load(); n > 10_000 {
			t.Errorf("%d bytes travelled for the second image, which shares its base", n)
		}
		c.requests.Store(0)
		pull(t, s, second, sources)
		if n := c.requests.Load(); n != 0 {
			t.Errorf("%d requests for an image that is here", n)
		}
	})
}

func TestKindsOfLayers(t *testing.T) {
	o := newOrigin(t)
	a, b, c := makeTar(t, file("a", "plain")), makeTar(t, file("b", noise(300_000))), makeTar(t, file("c", "zstd"), file("d", noise(300_000)))
	config := o.config(a, b, c, a)
	d := o.manifest(ocispec.Manifest{Layers: []ocispec.Descriptor{
		o.put(ocispec.MediaTypeImageLayer, a), o.put(ocispec.MediaTypeImageLayerGzip, gzipped(t, b)),
		o.put(ocispec.MediaTypeImageLayerZstd, zstandard(t, c)), o.put(ocispec.MediaTypeImageLayer, a),
	}}, config)
	empty := o.manifest(ocispec.Manifest{}, o.config())
	sources := peer(o)
	bothSnapshotters(t, func(t *testing.T, s *store.Store) {
		wantFiles(t, mounted(t, s, "c", pull(t, s, d, sources)), map[string]string{"a": "plain", "b": noise(300_000), "c": "zstd"})
		img := pull(t, s, empty, sources)
		root := mounted(t, s, "empty", img)
		if err := os.WriteFile(filepath.Join(root, "x"), nil, 0o600); err != nil || img.ChainID != "" {
			t.Errorf("an image without layers: %v, chain %q", err, img.ChainID)
		}
	})
}

func TestPlatformIsChosen(t *testing.T) {
	o := newOrigin(t)
	tar := makeTar(t, file("a", "1"))
	mine := o.image(tar)
	config := o.config(tar)
	config.Architecture = "s390x"
	theirs := o.manifest(ocispec.Manifest{Layers: []ocispec.Descriptor{o.put(ocispec.MediaTypeImageLayer, tar)}}, config)
	attestation := mine
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	s, sources := open(t, store.Options{}), peer(o)
	if img := pull(t, s, o.index(attestation, theirs, mine), sources); img.Manifest != mine.Digest {
		t.Errorf("chose %s, want %s", img.Manifest, mine.Digest)
	}
	_, err := s.Pull(t.Context(), store.PullRequest{Digest: o.index(theirs).Digest, Sources: sources}, event.Discard)
	if err == nil || !strings.Contains(err.Error(), "s390x") {
		t.Errorf("an image for another platform: %v", err)
	}
}

func TestIndexEntriesWithoutPlatform(t *testing.T) {
	o := newOrigin(t)
	tar := makeTar(t, file("a", "1"))
	mine := o.image(tar)
	config := o.config(tar)
	config.Architecture = "s390x"
	theirs := o.manifest(ocispec.Manifest{Layers: []ocispec.Descriptor{o.put(ocispec.MediaTypeImageLayer, tar)}}, config)
	mine.Platform, theirs.Platform = nil, nil
	if img := pull(t, open(t, store.Options{}), o.index(theirs, mine), peer(o)); img.Manifest != mine.Digest {
		t.Errorf("chose %s, want %s", img.Manifest, mine.Digest)
	}
	_, err := open(t, store.Options{}).Pull(t.Context(), store.PullRequest{Digest: o.index(theirs).Digest, Sources: peer(o)}, event.Discard)
	if err == nil || !strings.Contains(err.Error(), "s390x") {
		t.Errorf("an image for another platform: %v", err)
	}
}

func TestWhatIsNoImage(t *testing.T) {
	o := newOrigin(t)
	versioned := specs.Versioned{SchemaVersion: 2}
	chart := o.putJSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: versioned, MediaType: ocispec.MediaTypeImageManifest,
		Config: o.put("application/vnd.cncf.helm.config.v1+json", []byte(`{"name":"shop"}`)),
		Layers: []ocispec.Descriptor{o.put("application/vnd.cncf.helm.chart.content.v1.tar+gzip", []byte("x"))},
	})
	statement := o.putJSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: versioned, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/spdx+json",
		Config: o.put(ocispec.MediaTypeEmptyJSON, []byte("{}")), Layers: []ocispec.Descriptor{o.put("application/spdx+json", []byte("{} "))},
	})
	foreign := o.config(makeTar(t, file("a", "1")))
	windows := ocispec.Descriptor{
		MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest: digest.FromString("elsewhere"), Size: 9,
		URLs: []string{"https://layers.example.com/base"},
	}
	for name, x := range map[string]struct {
		digest digest.Digest
		says   string
	}{
		"a Helm chart":    {chart.Digest, "it is a Helm chart"},
		"a statement":     {statement.Digest, "something about one (application/spdx+json)"},
		"a foreign layer": {o.manifest(ocispec.Manifest{Layers: []ocispec.Descriptor{windows}}, foreign).Digest, "https://layers.example.com/base"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, store.Options{}).Pull(t.Context(), store.PullRequest{Digest: x.digest, Sources: peer(o)}, event.Discard)
			if err == nil || !strings.Contains(err.Error(), x.says) {
				t.Errorf("the error is %v, want %q in it", err, x.says)
			}
		})
	}
}

func TestTwoPullsDoTheWorkOnce(t *testing.T) {
	o := newOrigin(t)
	d := o.image(makeTar(t, file("a", noise(500_000))), makeTar(t, file("b", noise(400_000))))
	other := o.image(makeTar(t, file("a", noise(500_000))), makeTar(t, file("c", noise(300_000))))
	var c traffic
	sources := []registry.Source{registry.Peer(o.listen(c.wrap))}
	s := open(t, store.Options{})
	var g errgroup.Group
	for i := range 8 {
		want := []ocispec.Descriptor{d, other}[i%2]
		g.Go(func() error {
			_, err := s.Pull(t.Context(), store.PullRequest{Digest: want.Digest, Name: "x", Sources: sources}, event.Discard)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := c.bytes.Load(); n > 1_210_000 {
		t.Errorf("%d bytes travelled for 1.2 MB of layers", n)
	}
	if n := c.requests.Load(); n != 5 {
		t.Errorf("%d blobs were asked for, want 5", n)
	}
}

// cutting ends each answer of more than n bytes after n bytes, for a number
// of times.
func cutting(n int64, times int32) func(http.Handler) http.Handler {
	var cuts atomic.Int32
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet && cuts.Add(1) <= times {
				w = &cutWriter{w, n}
			}
			next.ServeHTTP(w, r)
		})
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (w *cutWriter) Write(b []byte) (int, error) {
	if int64(len(b)) > w.left {
		w.ResponseWriter.Write(b[:w.left]) // it is cut right away
		panic(http.ErrAbortHandler)
	}
	w.left -= int64(len(b))
	return w.ResponseWriter.Write(b)
}

func TestCutConnectionsAreResumed(t *testing.T) {
	o := newOrigin(t)
	d := o.image(makeTar(t, file("a", noise(1<<20))))
	var c traffic
	socket := o.listen(func(next http.Handler) http.Handler { return c.wrap(cutting(300_000, 3)(next)) })
	var r recorder
	s := open(t, store.Options{})
	_, err := s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "x", Sources: []registry.Source{registry.Peer(socket)}}, &r)
	if err != nil {
		t.Fatal(err)
	}
	if n := c.bytes.Load(); n > 1_100_000 {
		t.Errorf("%d bytes travelled for 1 MiB", n)
	}
	progress := r.of(event.Progress)
	if last := progress[len(progress)-1]; last.Done != last.Total || last.Unit != "bytes" {
		t.Errorf("progress ended with %+v", last)
	}
}

func TestAnInterruptedPullGoesOnAfterReopening(t *testing.T) {
	o := newOrigin(t)
	d := o.image(makeTar(t, file("a", noise(1<<20))))
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bad := registry.Peer(o.listen(cutting(600_000, 1<<30)))
	good := o.listen(nil)
	var c traffic
	counted := o.listen(c.wrap)
	// The first source stops for good after 600 kB: each attempt cuts again.
	_, err = s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "x", Sources: []registry.Source{onceThenGone(bad)}}, event.Discard)
	if err == nil {
		t.Fatal("the pull succeeded")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(dir, store.Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	img := pull(t, s, d, []registry.Source{registry.Peer(counted), registry.Peer(good)})
	if n := c.bytes.Load(); n > 600_000 {
		t.Errorf("%d bytes travelled again", n)
	}
	wantFiles(t, mounted(t, s, "c", img), map[string]string{"a": noise(1 << 20)})
}

// gone fetches one layer's beginning and then nothing any more.
type gone struct {
	registry.Source
	layers atomic.Int32
}

func onceThenGone(src registry.Source) registry.Source { return &gone{Source: src} }

func (g *gone) Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	if desc.MediaType == ocispec.MediaTypeImageLayerGzip && g.layers.Add(1) > 1 {
		return nil, fmt.Errorf("the connection is gone: %w", registry.ErrUnreachable)
	}
	return g.Source.Fetch(ctx, desc, offset)
}

// liar sends other bytes than it is asked for: the right number of them.
type liar struct{ registry.Source }

func (l liar) String() string { return "the liar" }

func (l liar) Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	r, err := l.Source.Fetch(ctx, desc, offset)
	if err != nil || desc.MediaType != ocispec.MediaTypeImageLayerGzip {
		return r, err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	b[len(b)/2] ^= 1
	return io.NopCloser(bytes.NewReader(b)), r.Close()
}

// half gives half of every layer and fails, again and again.
type half struct{ registry.Source }

func (h half) Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	if desc.MediaType == ocispec.MediaTypeImageLayerGzip && offset > 0 {
		return nil, fmt.Errorf("gone: %w", registry.ErrUnreachable)
	}
	r, err := h.Source.Fetch(ctx, desc, offset)
	if err != nil || desc.MediaType != ocispec.MediaTypeImageLayerGzip {
		return r, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, desc.Size/2+1), r}, nil
}

func TestSourcesThatFailOrLieAreLeft(t *testing.T) {
	o := newOrigin(t)
	good := registry.Peer(o.listen(nil))
	nobody := registry.Peer(filepath.Join(t.TempDir(), "nobody.sock"))
	empty := registry.Peer(newOrigin(t).listen(nil))
	for name, bad := range map[string]registry.Source{"a liar": liar{good}, "nobody": nobody, "without it": empty, "half of it": half{good}, "half a lie": half{liar{good}}} {
		t.Run(name, func(t *testing.T) {
			bothSnapshotters(t, func(t *testing.T, s *store.Store) {
				d := o.image(makeTar(t, file("a", noise(500_000))), makeTar(t, file("b", t.Name())))
				var r recorder
				img, err := s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "x", Sources: []registry.Source{bad, good}}, &r)
				if err != nil {
					t.Fatal(err)
				}
				if len(r.of(event.Warning)) == 0 {
					t.Error("nobody was warned")
				}
				wantFiles(t, mounted(t, s, "c", img), map[string]string{"a": noise(500_000), "b": t.Name()})
				_, err = s.Pull(t.Context(), store.PullRequest{Digest: o.image(makeTar(t, file("a", noise(500_001)))).Digest, Name: "shop/web", Sources: []registry.Source{bad}}, event.Discard)
				if err == nil || !strings.Contains(err.Error(), "shop/web") || !strings.Contains(err.Error(), bad.String()) {
					t.Errorf("with the bad source alone: %v", err)
				}
			})
		})
	}
}

func TestDamagedContentIsFetchedAgain(t *testing.T) {
	o := newOrigin(t)
	d := o.image(makeTar(t, file("a", noise(100_000))))
	sources := peer(o)
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{Snapshotter: store.Native})
	if err != nil {
		t.Fatal(err)
	}
	img := pull(t, s, d, sources)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []digest.Digest{img.Layers[0].Digest, img.Manifest} {
		path := filepath.Join(dir, "content", "blobs", "sha256", damaged.Encoded())
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Another snapshotter has none of the layers unpacked, so it reads content.
	if s, err = store.Open(dir, store.Options{Snapshotter: store.Overlay}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantFiles(t, mounted(t, s, "c", pull(t, s, d, sources)), map[string]string{"a": noise(100_000)})
}

func TestDroppedLayersAreNotMissed(t *testing.T) {
	o := newOrigin(t)
	d := o.image(makeTar(t, file("a", noise(100_000))))
	s := open(t, store.Options{DropLayers: true})
	img := pull(t, s, d, peer(o))
	if _, err := s.Content().Info(t.Context(), img.Layers[0].Digest); !errdefs.IsNotFound(err) {
		t.Errorf("the compressed layer is still there (%v)", err)
	}
	wantFiles(t, mounted(t, s, "c", pull(t, s, d, nil)), map[string]string{"a": noise(100_000)})
}

func TestNothingIsLeftOfAPullThatFails(t *testing.T) {
	o := newOrigin(t)
	tar := makeTar(t, file("a", noise(1000)))
	config := o.config(makeTar(t, file("a", "another tar")))
	d := o.manifest(ocispec.Manifest{Layers: []ocispec.Descriptor{o.put(ocispec.MediaTypeImageLayerGzip, gzipped(t, tar))}}, config)
	bothSnapshotters(t, func(t *testing.T, s *store.Store) {
		_, err := s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "x", Sources: peer(o)}, event.Discard)
		if err == nil || !strings.Contains(err.Error(), "config says") {
			t.Errorf("a layer that is not the config's: %v", err)
		}
		if has, err := s.Has(t.Context(), d.Digest); has || err != nil {
			t.Errorf("has it: %v (%v)", has, err)
		}
		if _, err := s.Mount(t.Context(), "c", d.Digest, false); !errdefs.IsNotFound(err) {
			t.Errorf("mounting it: %v", err)
		}
		if _, err := s.GC(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		wantEmptyStore(t, s)
	})
}

// TestAChildThatFails: what unpacks a layer ends before its time. The pull fails,
// what arrived stays, and nothing else is left.
func TestAChildThatFails(t *testing.T) {
	o := newOrigin(t)
	d, dir := o.image(makeTar(t, file("a", noise(3<<20)))), t.TempDir()
	var c traffic
	request := store.PullRequest{Digest: d.Digest, Name: "shop/web", Sources: []registry.Source{registry.Peer(o.listen(c.wrap))}}
	for _, kind := range []string{store.Overlay, store.Native} {
		s, err := store.Open(dir, store.Options{Snapshotter: kind, Unpacker: []string{"/proc/self/exe", "broken"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Pull(t.Context(), request, event.Discard)
		if err == nil || !strings.Contains(err.Error(), "shop/web") || !strings.Contains(err.Error(), "a thing is broken") {
			t.Errorf("%s: the error is %v", kind, err)
		}
		if left, err := os.ReadDir(filepath.Join(dir, kind, "snapshots")); err != nil || len(left) > 0 {
			t.Errorf("%s: there is %v (%v)", kind, left, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	travelled := c.bytes.Load()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantFiles(t, mounted(t, s, "c", pull(t, s, d, request.Sources)), map[string]string{"a": noise(3 << 20)})
	if c.bytes.Load() != travelled {
		t.Error("the layer was fetched again")
	}
}

func TestTooLittleSpace(t *testing.T) {
	o := newOrigin(t)
	tar := makeTar(t, file("a", "x"))
	layer := o.put(ocispec.MediaTypeImageLayerGzip, gzipped(t, tar))
	layer.Digest, layer.Size = digest.FromString("huge"), 1<<50
	d := o.manifest(ocispec.Manifest{Layers: []ocispec.Descriptor{layer}}, o.config(tar))
	_, err := open(t, store.Options{}).Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "x", Sources: peer(o)}, event.Discard)
	var space *store.SpaceError
	if !errors.Is(err, store.ErrSpace) || !errors.As(err, &space) || space.Need < 1<<50 || space.Free <= 0 {
		t.Errorf("the error is %v", err)
	}
}

// TestSizesThatCannotBe pulls manifests whose sizes, multiplied or added up,
// pass the largest number.
func TestSizesThatCannotBe(t *testing.T) {
	o := newOrigin(t)
	tar := makeTar(t, file("a", "x"))
	for name, sizes := range map[string][]int64{"one": {1 << 61}, "the largest": {1<<63 - 1}, "a sum": {1 << 60, 1 << 60, 1 << 60, 1 << 60}} {
		var layers []ocispec.Descriptor
		var tars [][]byte
		for i, size := range sizes {
			layer := o.put(ocispec.MediaTypeImageLayerGzip, gzipped(t, tar))
			layer.Digest, layer.Size = digest.FromString(fmt.Sprint("huge", i)), size
			layers, tars = append(layers, layer), append(tars, tar)
		}
		d := o.manifest(ocispec.Manifest{Layers: layers}, o.config(tars...))
		_, err := open(t, store.Options{}).Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "x", Sources: peer(o)}, event.Discard)
		if !errors.Is(err, store.ErrSpace) {
			t.Errorf("%s: the error is %v, want too little space", name, err)
		}
	}
}

// TestTheDiskFillsUp unpacks a layer that is far larger than it looked, on a
// small file system.
func TestTheDiskFillsUp(t *testing.T) {
	bomb, diffID := zeros(t, 60<<20)
	o := newOrigin(t)
	config := o.config()
	config.RootFS.DiffIDs = []digest.Digest{diffID}
	d := o.manifest(ocispec.Manifest{Layers: []ocispec.Descriptor{o.put(ocispec.MediaTypeImageLayerGzip, bomb)}}, config)
	dir := t.TempDir()
	if err := (&mount.Mount{Type: "tmpfs", Source: "tmpfs", Options: []string{"size=100m"}}).Mount(dir); err != nil {
		t.Skip("no file system to fill: ", err)
	}
	t.Cleanup(func() {
		runtime.GC() // lets go of what a failed unpacking has left to it
		err := mount.UnmountAll(dir, 0)
		for end := time.Now().Add(10 * time.Second); errors.Is(err, unix.EBUSY) && time.Now().Before(end); err = mount.UnmountAll(dir, 0) {
			runtime.GC()
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			t.Error(err)
		}
	})
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "x", Sources: peer(o)}, event.Discard)
	var space *store.SpaceError
	if !errors.As(err, &space) || space.Path != dir {
		t.Errorf("the error is %v", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || int64(st.Bavail)*st.Bsize < 90<<20 {
		t.Errorf("%d bytes are free again (%v)", int64(st.Bavail)*st.Bsize, err)
	}
}
