package connect

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// manifest says what a bundle holds. deploy/bundle writes it; its bytes' digest
// names the bundle.
type manifest struct {
	Version string            `json:"version"`
	API     int               `json:"api"`
	Arch    string            `json:"arch"`
	Files   map[string]string `json:"files"` // program → sha256:…
}

const manifestName = "manifest.json"

// readManifest reads the manifest in dir, and returns its digest.
func readManifest(dir string) (*manifest, string, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, "", err
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(text)
	return m, "sha256:" + hex.EncodeToString(sum[:]), nil
}

func parseManifest(text []byte) (*manifest, error) {
	m := &manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	for name := range m.Files {
		if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("reading the manifest: %q is not the name of a program", name)
		}
	}
	if m.Files["drayd"] == "" || m.Files["dray-oci"] == "" {
		return nil, fmt.Errorf("reading the manifest: it lacks drayd or dray-oci")
	}
	return m, nil
}

// verify checks every program in dir, makes it executable, and syncs it.
func (m *manifest) verify(dir string) error {
	for name, want := range m.Files {
		if err := verifyFile(filepath.Join(dir, name), want); err != nil {
			return err
		}
	}
	return nil
}

func verifyFile(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("verifying %s: %w", path, err)
	}
	defer func() { _ = f.Close() }() // synced below
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return fmt.Errorf("verifying %s: %w", path, err)
	}
	if got := "sha256:" + hex.EncodeToString(hash.Sum(nil)); got != want {
		return fmt.Errorf("verifying %s: its digest is %s, not %s", path, got, want)
	}
	if err := f.Chmod(0o755); err != nil {
		return fmt.Errorf("verifying %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("verifying %s: %w", path, err)
	}
	return nil
}
