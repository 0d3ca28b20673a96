package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"dray/targets/api"
)

// ManifestName is the archive's first member.
const ManifestName = "manifest.json"

// Programs are the archive's other members, in order.
var Programs = []string{"drayd", "dray-oci"}

// Manifest says what a bundle holds.
type Manifest struct {
	Version string            `json:"version"`
	API     int               `json:"api"`
	Arch    string            `json:"arch"`  // GOARCH; the OS is linux
	Files   map[string]string `json:"files"` // program → sha256:…
}

// Bundle is one architecture's.
type Bundle struct {
	Manifest
	Digest  string // sha256:… of the manifest; names the bundle
	Archive string // sha256:… of the archive
	Size    int64  // of the archive, bytes
	open    func() (io.ReadCloser, error)
}

// Open opens the archive.
func (b *Bundle) Open() (io.ReadCloser, error) { return b.open() }

// Hex returns the first 16 digits of the digest: the name of its folder.
func (b *Bundle) Hex() string { return Hex(b.Digest) }

// Hex returns the first 16 digits of a digest, or "" if it is none.
func Hex(digest string) string {
	sum, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || len(sum) != 64 {
		return ""
	}
	return sum[:16]
}

// Func finds the bundle of an architecture.
type Func func(arch string) (*Bundle, error)

// Find returns the bundle of an architecture (GOARCH): the embedded one, or
// one made of the programs beside the running program. A bundle that there is
// none of is an error that wraps fs.ErrNotExist.
func Find(arch string) (*Bundle, error) {
	if b, err := embeddedBundle(arch); b != nil || err != nil {
		return b, err
	}
	return beside(arch)
}

func missing(arch, dir string) error {
	return fmt.Errorf("no drayd and dray-oci for linux/%s: neither in this program nor in %s: %w", arch, dir, fs.ErrNotExist)
}

// encode returns the manifest's bytes and digest.
func (m Manifest) encode() ([]byte, string, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, "", fmt.Errorf("writing the manifest: %w", err)
	}
	return text, sum(text), nil
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

func newManifest(arch string, files map[string]string) Manifest {
	return Manifest{Version: api.BuildVersion, API: api.Version, Arch: arch, Files: files}
}
