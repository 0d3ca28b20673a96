package store_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/pipeline/event"
	"dray/targets/store"
)

// TestLayersStayInside: whatever a layer says, nothing outside its folder is
// made, changed, linked or removed.
func TestLayersStayInside(t *testing.T) {
	up := strings.Repeat("../", 12)
	for name, entries := range map[string]func(outside string) []entry{
		"absolute path":       func(out string) []entry { return []entry{file(out+"/evil", "x")} },
		"dots":                func(out string) []entry { return []entry{file(up+out+"/evil", "x")} },
		"dots inside":         func(out string) []entry { return []entry{file("a/../../"+up+out+"/evil", "x")} },
		"symlink to a folder": func(out string) []entry { return []entry{link(tar.TypeSymlink, "l", out), file("l/evil", "x")} },
		"symlink with dots":   func(out string) []entry { return []entry{link(tar.TypeSymlink, "l", up+out), file("l/evil", "x")} },
		"symlink to a file":   func(out string) []entry { return []entry{link(tar.TypeSymlink, "l", out+"/kept"), file("l", "x")} },
		"two symlinks": func(out string) []entry {
			return []entry{link(tar.TypeSymlink, "a", "/"), link(tar.TypeSymlink, "b", "a"+out), file("b/evil", "x"), folder("b", 0)}
		},
		"hard link outside":   func(out string) []entry { return []entry{link(tar.TypeLink, "h", out+"/kept"), file("h", "x")} },
		"hard link with dots": func(out string) []entry { return []entry{link(tar.TypeLink, "h", up+out+"/kept")} },
		"hard link to symlink": func(out string) []entry {
			return []entry{link(tar.TypeSymlink, "l", out+"/kept"), link(tar.TypeLink, "h", "l"), file("h", "x")}
		},
		"whiteout outside":    func(out string) []entry { return []entry{file(up+out+"/.wh.kept", "")} },
		"whiteout of dots":    func(string) []entry { return []entry{folder("a", 0o755), file("a/.wh...", ""), file(".wh..", "")} },
		"whiteout by symlink": func(out string) []entry { return []entry{link(tar.TypeSymlink, "l", out), file("l/.wh.kept", "")} },
		"opaque by symlink":   func(out string) []entry { return []entry{link(tar.TypeSymlink, "l", out), file("l/.wh..wh..opq", "")} },
		"folder's mode by symlink": func(out string) []entry {
			return []entry{link(tar.TypeSymlink, "l", out), folder("l", 0o777), file("x", "")}
		},
		"implied folder by symlink": func(out string) []entry {
			return []entry{file("etc/x", "x"), link(tar.TypeSymlink, "l", out), file("l/sub/x", "x")}
		},
		"root replaced": func(out string) []entry {
			return []entry{link(tar.TypeSymlink, ".", out), link(tar.TypeSymlink, "/", out), file("evil", "x")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothSnapshotters(t, func(t *testing.T, s *store.Store) {
				outside := t.TempDir()
				if err := os.WriteFile(filepath.Join(outside, "kept"), []byte("kept"), 0o640); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(outside, 0o711); err != nil {
					t.Fatal(err)
				}
				o := newOrigin(t)
				d := o.image(makeTar(t, folder("etc", 0o700), link(tar.TypeSymlink, "l", outside)), makeTar(t, entries(outside)...))
				img, err := s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "hostile", Sources: peer(o)}, event.Discard)
				t.Logf("pull: %v", err)
				if err == nil {
					mounted(t, s, "c", img)
				}
				wantUntouched(t, outside)
			})
		})
	}
}

func wantUntouched(t *testing.T, outside string) {
	t.Helper()
	wantFiles(t, outside, map[string]string{"kept": "kept"})
	wantModes(t, outside, map[string]os.FileMode{".": os.ModeDir | 0o711, "kept": 0o640})
	list, err := os.ReadDir(outside)
	if err != nil || len(list) != 1 {
		t.Errorf("outside there is %v (%v)", list, err)
	}
}

// zeros is a tar of one file of n zeros, as a stream.
func zeros(t *testing.T, n int64) (compressed []byte, diffID digest.Digest) {
	t.Helper()
	var out bytes.Buffer
	zw, hash := gzip.NewWriter(&out), digest.SHA256.Digester()
	tw := tar.NewWriter(io.MultiWriter(zw, hash.Hash()))
	if err := tw.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: n, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(tw, zeroReader{}, n); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), hash.Digest()
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// gnuSparse is a tar whose one entry claims a file of 2 GiB and sends nothing,
// in GNU tar's old sparse format (the header's bytes 386 to 495).
func gnuSparse() []byte {
	h := make([]byte, 1536) // one header, and the end
	copy(h, "huge")
	copy(h[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00")
	h[156] = 'S'
	copy(h[257:], "ustar  \x00")
	copy(h[386:], "20000000000\x0000000000000\x00") // one part: empty, at 2 GiB
	copy(h[483:], "20000000000\x00")                // real size: 2 GiB
	copy(h[148:], "        ")
	sum := 0
	for _, b := range h[:512] {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

func TestBombsAreRefused(t *testing.T) {
	bomb, diffID := zeros(t, 20<<20)
	o := newOrigin(t)
	config := o.config()
	config.RootFS.DiffIDs = []digest.Digest{diffID}
	big := o.manifest(ocispec.Manifest{Layers: []ocispec.Descriptor{o.put(ocispec.MediaTypeImageLayerGzip, bomb)}}, config)
	var many []entry
	for range 2000 {
		many = append(many, file("f"+noiseName(len(many)), ""))
	}
	for name, d := range map[string]ocispec.Descriptor{"size": big, "number": o.image(makeTar(t, many...)), "sparse": o.image(gnuSparse())} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range []string{store.Overlay, store.Native} {
				s := open(t, store.Options{Snapshotter: kind, MaxLayer: 10 << 20, MaxEntries: 1000})
				_, err := s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "bomb", Sources: peer(o)}, event.Discard)
				if err == nil || !strings.Contains(err.Error(), "more than is allowed") {
					t.Errorf("%s: the error is %v", kind, err)
				}
			}
		})
	}
}

// TestNamesAreBounded pulls layers whose names alone would fill the memory, or
// keep a processor busy.
func TestNamesAreBounded(t *testing.T) {
	o := newOrigin(t)
	deep := strings.Repeat("a/", maxPAX/2-1) + "f" // as long as a PAX record may be
	var wide []entry
	for n := range 100 { // each has 200 folders of its own above it
		wide = append(wide, file(noiseName(n)[:8]+"/"+strings.Repeat("a/", 200)+"f", ""))
	}
	for name, d := range map[string]ocispec.Descriptor{
		"a long name":   o.image(makeTar(t, file(deep, ""))),
		"a long target": o.image(makeTar(t, link(tar.TypeSymlink, "l", deep))),
		"a deep file":   o.image(makeTar(t, file(strings.Repeat("a/", 2000)+"f", ""))),
		"deep folders":  o.image(makeTar(t, wide...)),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, store.Options{MaxNames: 1 << 20})
			began := time.Now()
			_, err := s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "bomb", Sources: peer(o)}, event.Discard)
			if err == nil || !strings.Contains(err.Error(), "more than is allowed") {
				t.Errorf("after %s the error is %v", time.Since(began), err)
			}
		})
	}
}

// maxPAX is what archive/tar reads of a PAX record, with room for its keys.
const maxPAX = 1<<20 - 100

// TestOneBudgetAPull pulls layers that are each within the limits, and together
// are not.
func TestOneBudgetAPull(t *testing.T) {
	o := newOrigin(t)
	var layers [][]byte
	for layer := range 4 {
		var entries []entry
		for n := range 400 {
			entries = append(entries, file(fmt.Sprintf("%d-%s", layer, noiseName(n)), ""))
		}
		layers = append(layers, makeTar(t, entries...))
	}
	d := o.image(layers...)
	for _, kind := range []string{store.Overlay, store.Native} {
		s := open(t, store.Options{Snapshotter: kind, MaxEntries: 1000})
		_, err := s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "bomb", Sources: peer(o)}, event.Discard)
		if err == nil || !strings.Contains(err.Error(), "too many files") {
			t.Errorf("%s: the error is %v", kind, err)
		}
	}
	s := open(t, store.Options{MaxEntries: 2000})
	if _, err := s.Pull(t.Context(), store.PullRequest{Digest: d.Digest, Name: "large", Sources: peer(o)}, event.Discard); err != nil {
		t.Errorf("within the budget: %v", err)
	}
}

func noiseName(n int) string { return digest.FromBytes([]byte{byte(n), byte(n >> 8)}).Encoded() }

func TestDeviceNodesAndSetuidAreKept(t *testing.T) {
	o := newOrigin(t)
	null := entry{Header: tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}}
	suid := entry{Header: tar.Header{Name: "su", Typeflag: tar.TypeReg, Mode: 0o6755, Size: 1, Uid: 12, Gid: 34}, body: "x"}
	fifo := entry{Header: tar.Header{Name: "fifo", Typeflag: tar.TypeFifo, Mode: 0o600}}
	s := open(t, store.Options{})
	root := mounted(t, s, "c", pull(t, s, o.image(makeTar(t, null, suid, fifo)), peer(o)))
	wantModes(t, root, map[string]os.FileMode{
		"null": os.ModeDevice | os.ModeCharDevice | 0o666, "su": os.ModeSetuid | os.ModeSetgid | 0o755, "fifo": os.ModeNamedPipe | 0o600,
	})
}
