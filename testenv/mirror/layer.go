package mirror

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layer is a compressed archive in a file, with its digests known.
type layer struct {
	file         string
	digest, diff v1.Hash
	size         int64
}

// makeLayer writes what fill archives to a file in dir, compressing it once.
// The file goes when the image has been kept: dir is a temporary one.
func makeLayer(dir string, fill func(*archive) error) (_ *layer, err error) {
	f, err := os.CreateTemp(dir, "layer-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	packed, plain := &meter{w: f, sum: sha256.New()}, sha256.New()
	zip, err := gzip.NewWriterLevel(packed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	w := &archive{w: tar.NewWriter(io.MultiWriter(zip, plain)), seen: map[[2]uint64]string{}}
	if err := fill(w); err != nil {
		return nil, fmt.Errorf("archiving a layer: %w", err)
	}
	if err := errors.Join(w.err, w.w.Close(), zip.Close()); err != nil {
		return nil, fmt.Errorf("writing a layer: %w", err)
	}
	return &layer{f.Name(), sha(packed.sum), sha(plain), packed.size}, nil
}

func sha(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// meter sums and counts what passes through it.
type meter struct {
	w    io.Writer
	sum  hash.Hash
	size int64
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.sum.Write(p[:n]) // a hash never fails
	m.size += int64(n)
	return n, err
}

func (l *layer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)             { return l.diff, nil }
func (l *layer) Size() (int64, error)                 { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.OCILayer, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return os.Open(l.file) }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return nil, errors.New("not needed here") }

// archive writes a tar in which only names, modes, owners and contents count.
// The first error stays in err.
type archive struct {
	w    *tar.Writer
	time time.Time            // of every entry; zero: epoch
	seen map[[2]uint64]string // device and inode → the name it was first archived under
	err  error
}

func (a *archive) add(h *tar.Header, body io.Reader) {
	if a.err != nil {
		return
	}
	h.ModTime = a.time
	if a.time.IsZero() {
		h.ModTime = epoch
	}
	h.Format, h.AccessTime, h.ChangeTime, h.Uname, h.Gname = tar.FormatPAX, time.Time{}, time.Time{}, "", ""
	if a.err = a.w.WriteHeader(h); a.err == nil && body != nil {
		_, a.err = io.Copy(a.w, body)
	}
}

func (a *archive) dir(name string, mode int64) {
	a.add(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
}

func (a *archive) file(name string, mode int64, body []byte) {
	a.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(body))}, bytes.NewReader(body))
}

func (a *archive) link(name, to string) {
	a.add(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}, nil)
}

// tree archives the folder root as prefix, in the order of names. skip leaves
// out a path (relative to root) and what is below it.
func (a *archive) tree(root, prefix string, skip func(path string) bool) error {
	return filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		if rel != "." && skip(rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if rel == "." && prefix == "" {
			return nil
		}
		if err := a.entry(full, path.Join(prefix, rel)); err != nil {
			return err
		}
		return a.err
	})
}

func (a *archive) entry(full, name string) error {
	info, err := os.Lstat(full)
	if err != nil {
		return err
	}
	h, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return nil // a socket: nothing to keep
	}
	h.Name = name
	switch {
	case info.IsDir():
		h.Name += "/"
	case info.Mode()&fs.ModeSymlink != 0:
		if h.Linkname, err = os.Readlink(full); err != nil {
			return err
		}
	case info.Mode().IsRegular():
		return a.regular(full, h, info)
	}
	a.add(h, nil)
	return nil
}

// regular archives a file, or a hard link to it if it was there before.
func (a *archive) regular(full string, h *tar.Header, info fs.FileInfo) error {
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Nlink > 1 {
		id := [2]uint64{s.Dev, s.Ino}
		if first, ok := a.seen[id]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			a.add(h, nil)
			return nil
		}
		a.seen[id] = h.Name
	}
	f, err := os.Open(full)
	if err != nil {
		return err
	}
	defer f.Close()
	a.add(h, f)
	return nil
}
