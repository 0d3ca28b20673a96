package buildkit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/tonistiigi/fsutil"

	"dray/builder"
	"dray/pipeline/phrase"
)

// source is what a build reads of this machine: folders, and which Dockerfile.
type source struct {
	mounts     map[string]fsutil.FS
	stores     map[string]content.Store // of images in folders, by the name in an option
	attrs      map[string]string        // frontend options that name the contexts
	filename   string                   // of the Dockerfile in its mount
	dockerfile string                   // as the user would type it, for messages
	path       string                   // the same, absolute; empty when the builder fetches it
	sharedKey  string                   // the same for builds of the same folder
	temp       string                   // folder to remove
}

const (
	localContext    = "context"
	localDockerfile = "dockerfile"
)

func (s *source) close() {
	if s.temp != "" {
		// A leftover in the temporary folder is harmless.
		_ = os.RemoveAll(s.temp)
	}
}

// openSource finds the context, the Dockerfile and the named contexts.
func openSource(req builder.Request) (_ *source, err error) {
	t := req.Target
	s := &source{mounts: map[string]fsutil.FS{}, stores: map[string]content.Store{}, attrs: map[string]string{}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	sum := sha256.Sum256([]byte(req.Dir + "\x00" + t.Context))
	s.sharedKey = hex.EncodeToString(sum[:])
	if isRemote(t.Context) {
		s.attrs["context"] = t.Context
	} else if err := s.mount(req, localContext, t.Context); err != nil {
		return nil, err
	}
	if err := s.openDockerfile(req); err != nil {
		return nil, err
	}
	if !isRemote(t.Context) {
		if err := s.checkIgnored(req); err != nil {
			return nil, err
		}
	}
	for name, where := range t.Contexts {
		if err := s.namedContext(req, name, where); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// isRemote says whether the builder fetches the context itself.
func isRemote(context string) bool {
	return strings.Contains(context, "://") || strings.HasPrefix(context, "git@")
}

func (s *source) mount(req builder.Request, name, dir string) error {
	abs := dir
	if !filepath.IsAbs(dir) {
		abs = filepath.Join(req.Dir, dir)
	}
	info, err := os.Stat(abs)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: abs, Err: fmt.Errorf("it is not a folder")}
	}
	if err != nil {
		return &builder.Failure{
			Target: req.Target.Name, At: req.Target.At, Reason: "no context folder " + dir + ": " + phrase.Cause(err), Err: err,
			Next: fmt.Sprintf("make it, or name another one in target %q", req.Target.Name),
		}
	}
	tree, err := fsutil.NewFS(abs)
	if err != nil {
		return fmt.Errorf("reading the context %s: %w", dir, err)
	}
	if left := leftOut(req, abs); len(left) > 0 {
		if tree, err = fsutil.NewFilterFS(tree, &fsutil.FilterOpt{ExcludePatterns: left}); err != nil {
			return fmt.Errorf("reading the context %s: %w", dir, err)
		}
	}
	s.mounts[name] = tree
	return nil
}

// leftOut lists what a context in the folder abs leaves out, as patterns.
func leftOut(req builder.Request, abs string) []string {
	var left []string
	for _, file := range req.Leave {
		if inside, err := filepath.Rel(abs, filepath.Join(req.Dir, file)); err == nil && filepath.IsLocal(inside) {
			left = append(left, filepath.ToSlash(inside))
		}
	}
	return left
}

// openDockerfile mounts the Dockerfile's folder; an inline one gets a folder
// of its own.
func (s *source) openDockerfile(req builder.Request) error {
	t := req.Target
	file := t.Dockerfile
	if file == "" {
		file = "Dockerfile"
	}
	s.filename, s.dockerfile = path.Base(filepath.ToSlash(file)), file
	switch {
	case t.DockerfileInline != "":
		return s.openInline(req)
	case isRemote(t.Context):
		s.filename = file
		return nil
	}
	s.dockerfile = file
	full := file
	if !filepath.IsAbs(file) {
		s.dockerfile = filepath.Join(t.Context, file)
		full = filepath.Join(req.Dir, s.dockerfile)
		if filepath.IsAbs(t.Context) {
			full = s.dockerfile
		}
	}
	_, err := os.Stat(full)
	if errors.Is(err, fs.ErrNotExist) && file == "Dockerfile" {
		// Where file names tell case apart, Docker takes this spelling too.
		if lower := filepath.Join(filepath.Dir(full), "dockerfile"); isFile(lower) {
			full, s.filename, s.dockerfile, err = lower, "dockerfile", filepath.Join(filepath.Dir(s.dockerfile), "dockerfile"), nil
		}
	}
	if err != nil {
		return &builder.Failure{
			Target: t.Name, At: t.At, Reason: "no Dockerfile at " + s.dockerfile + ": " + phrase.Cause(err), Err: err,
			Next: "write it, or set dockerfile in target \"" + t.Name + "\"",
		}
	}
	s.path = full
	return s.mount(req, localDockerfile, filepath.Dir(full))
}

func (s *source) openInline(req builder.Request) error {
	dir, err := os.MkdirTemp("", "dray-dockerfile")
	if err != nil {
		return err
	}
	s.temp, s.filename, s.dockerfile = dir, "Dockerfile", "dockerfile-inline"
	if at := req.Target.At.String(); at != "" {
		s.dockerfile = "dockerfile-inline of " + at
	}
	s.path = filepath.Join(dir, "Dockerfile")
	// Without this, a builder that fetches the context takes the Dockerfile
	// from there.
	s.attrs["dockerfilekey"] = localDockerfile
	if err := os.WriteFile(s.path, []byte(req.Target.DockerfileInline), 0o600); err != nil {
		return err
	}
	return s.mount(req, localDockerfile, dir)
}

// namedContext makes another folder, another target's image, or what the
// frontend itself knows (docker-image://, a git URL) available by name.
func (s *source) namedContext(req builder.Request, name, where string) error {
	if target, ok := strings.CutPrefix(where, "target:"); ok {
		built, ok := req.Built[target]
		if !ok {
			return fmt.Errorf("building %s: its context %s is target %s, which has not been built", req.Target.Name, name, target)
		}
		s.attrs["context:"+name] = "oci-layout://" + imageStoreID + "@" + built.Digest
		return nil
	}
	if strings.HasPrefix(where, layoutScheme) {
		return s.layoutContext(req, name, where)
	}
	if isRemote(where) {
		s.attrs["context:"+name] = where
		return nil
	}
	if name == localContext || name == localDockerfile {
		s.attrs["context:"+name] = "local:_" + name // the mount of that name is the build's own
		return s.mount(req, "_"+name, where)
	}
	s.attrs["context:"+name] = "local:" + name
	return s.mount(req, name, where)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
