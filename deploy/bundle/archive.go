package bundle

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
)

// Record is what is known of an archive without reading it: the sidecar file
// of an embedded or cached one.
type Record struct {
	Manifest Manifest `json:"manifest"`
	Digest   string   `json:"digest"`
	Archive  string   `json:"archive"`
	Size     int64    `json:"size"`
}

// Make writes the archive of the programs in dir to w: the same bytes for the
// same programs. Level is gzip's, 1 to 9.
func Make(w io.Writer, arch, dir string, level int) (*Record, error) {
	m, err := manifestOf(arch, dir)
	if err != nil {
		return nil, err
	}
	text, digest, err := m.encode()
	if err != nil {
		return nil, err
	}
	counted := &hashing{w: w}
	hash := sha256.New()
	counted.hash = hash
	packer, err := gzip.NewWriterLevel(counted, level)
	if err != nil {
		return nil, fmt.Errorf("making the bundle: %w", err)
	}
	if err := writeTar(packer, text, dir); err != nil {
		return nil, fmt.Errorf("making the bundle: %w", err)
	}
	if err := packer.Close(); err != nil {
		return nil, fmt.Errorf("making the bundle: %w", err)
	}
	return &Record{Manifest: m, Digest: digest, Archive: "sha256:" + hex.EncodeToString(hash.Sum(nil)), Size: counted.n}, nil
}

// manifestOf digests the programs in dir.
func manifestOf(arch, dir string) (Manifest, error) {
	files := map[string]string{}
	for _, name := range Programs {
		digest, err := digestFile(filepath.Join(dir, name))
		if err != nil {
			return Manifest{}, fmt.Errorf("making the bundle: %w", err)
		}
		files[name] = digest
	}
	return newManifest(arch, files), nil
}

func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}

func writeTar(w io.Writer, manifest []byte, dir string) error {
	t := tar.NewWriter(w)
	header := func(name string, mode, size int64) error {
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: size, Format: tar.FormatUSTAR})
	}
	if err := header(ManifestName, 0o644, int64(len(manifest))); err != nil {
		return err
	}
	if _, err := t.Write(manifest); err != nil {
		return err
	}
	for _, name := range Programs {
		if err := addFile(t, header, dir, name); err != nil {
			return err
		}
	}
	return t.Close()
}

func addFile(t *tar.Writer, header func(string, int64, int64) error, dir, name string) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := header(name, 0o755, info.Size()); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}

// hashing counts and hashes what passes.
type hashing struct {
	w    io.Writer
	hash io.Writer
	n    int64
}

// Write passes p on.
func (h *hashing) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	h.n += int64(n)
	_, _ = h.hash.Write(p[:n]) // a hash takes everything
	return n, err
}
