package bundle

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"dray/targets/api"
)

// EnvDir names the variable with a folder to look for drayd and dray-oci in,
// before the running program's own.
const EnvDir = "DRAY_BUNDLE_DIR"

const cacheLevel = 6 // of gzip: made while someone waits

// beside makes the bundle of the programs beside the running one: in DIR/ARCH
// or, where they are for that architecture, in DIR itself. What it makes is
// kept in the user's cache until a program changes.
func beside(arch string) (*Bundle, error) {
	dirs, err := candidates(arch)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if programArch(filepath.Join(dir, Programs[0])) == arch && programArch(filepath.Join(dir, Programs[1])) == arch {
			return cached(arch, dir)
		}
	}
	return nil, missing(arch, dirs[len(dirs)-1])
}

func candidates(arch string) ([]string, error) {
	var roots []string
	if dir := os.Getenv(EnvDir); dir != "" {
		roots = append(roots, dir)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding drayd: %w", err)
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	roots = append(roots, filepath.Dir(self))
	var dirs []string
	for _, root := range roots {
		dirs = append(dirs, filepath.Join(root, "linux-"+arch), root)
	}
	return dirs, nil
}

// programArch returns the GOARCH of a program, or "".
func programArch(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // only read
	switch f.Machine {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_AARCH64:
		return "arm64"
	}
	return ""
}

// making lets the hosts of an environment, which all ask at once, wait for one
// making of the bundle.
var making sync.Mutex

// cached returns the kept bundle of dir if it is still that of the programs.
func cached(arch, dir string) (*Bundle, error) {
	making.Lock()
	defer making.Unlock()
	key, err := cacheKey(arch, dir)
	if err != nil {
		return nil, err
	}
	root, err := os.UserCacheDir()
	if err != nil { // no home: made anew each time, where nobody else can put another
		if root, err = os.MkdirTemp("", "dray-"); err != nil {
			return nil, fmt.Errorf("keeping the bundle: %w", err)
		}
	}
	base := filepath.Join(root, "dray", "bundles", key)
	if b, err := load(base); err == nil {
		return b, nil
	}
	if err := keep(base, arch, dir); err != nil {
		return nil, err
	}
	return load(base)
}

// cacheKey changes when a program, its time or its size does.
func cacheKey(arch, dir string) (string, error) {
	hash := sha256.New()
	_, _ = fmt.Fprintf(hash, "%s %s %d %s\n", arch, api.BuildVersion, api.Version, dir) // a hash takes everything
	for _, name := range Programs {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("finding %s: %w", name, err)
		}
		_, _ = fmt.Fprintf(hash, "%s %d %s\n", name, info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
	}
	return arch + "-" + hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// load opens a kept bundle: BASE.json and BASE.tar.gz.
func load(base string) (*Bundle, error) {
	text, err := os.ReadFile(base + ".json")
	if err != nil {
		return nil, err
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("reading %s.json: %w", base, err)
	}
	info, err := os.Stat(base + ".tar.gz")
	if err != nil || info.Size() != r.Size {
		return nil, fmt.Errorf("reading %s.tar.gz: not what was kept", base)
	}
	return r.Bundle(func() (io.ReadCloser, error) { return os.Open(base + ".tar.gz") }), nil
}

// Bundle returns the bundle whose archive open opens.
func (r *Record) Bundle(open func() (io.ReadCloser, error)) *Bundle {
	return &Bundle{Manifest: r.Manifest, Digest: r.Digest, Archive: r.Archive, Size: r.Size, open: open}
}

// keep makes the bundle and drops older ones of the same architecture.
func keep(base, arch, dir string) error {
	if err := os.MkdirAll(filepath.Dir(base), 0o700); err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(base), "new-")
	if err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone already when all went well
	record, err := Make(temp, arch, dir, cacheLevel)
	if err != nil {
		_ = temp.Close()
		return err
	}
	if err := temp.Close(); err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	text, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	old, err := filepath.Glob(filepath.Join(filepath.Dir(base), arch+"-*"))
	if err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	dropOld(old)
	if err := os.Rename(temp.Name(), base+".tar.gz"); err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	sidecar := temp.Name() + ".json"
	if err := os.WriteFile(sidecar, text, 0o600); err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	if err := os.Rename(sidecar, base+".json"); err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	return nil
}

// dropOld removes bundles that nobody used for a day; a younger one may be
// another checkout's, or on its way to a host.
func dropOld(paths []string) {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.Remove(path) // only disk is lost
		}
	}
}
