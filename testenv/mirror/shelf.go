package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// shelf keeps made images: an OCI layout's blobs, and for each stand-in a file
// that says which manifest was made from which inputs. It is the registry's
// blob handler too. Blobs are named by their digest and never change.
type shelf struct {
	dir    string
	layout layout.Path

	making sync.Mutex        // one image is made at a time
	served map[string]recipe // tag → what was put into the registry
}

// recipe is what names a made image: the inputs' key and the outcome.
type recipe struct {
	Key      string
	Manifest v1.Hash
	Type     string
}

func openShelf(dir string) (*shelf, error) {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return nil, err
	}
	return &shelf{dir: dir, layout: layout.Path(dir), served: map[string]recipe{}}, nil
}

var manifestPath = regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)

func manifestOf(r *http.Request) (repo, reference string, ok bool) {
	m := manifestPath.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

// stock puts the stand-in of that name into the registry, if there is one. By
// digest, all that were made before are stocked.
func (m *Mirror) stock(ctx context.Context, repo, reference string) error {
	for _, s := range standIns {
		if s.repo == repo && s.tag == reference {
			return m.stockOne(ctx, s)
		}
		if s.repo == repo && digestReference.MatchString(reference) && m.shelf.has(s) {
			if err := m.stockOne(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

var digestReference = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Make makes stand-ins now, named as in docker.io's library ("golang:1.26"),
// rather than when somebody asks for them.
func (m *Mirror) Make(ctx context.Context, names ...string) error {
	for _, name := range names {
		s, err := standInNamed(name)
		if err != nil {
			return err
		}
		if err := m.stockOne(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func standInNamed(name string) (standIn, error) {
	var known []string
	for _, s := range standIns {
		full := strings.TrimPrefix(s.repo, "library/") + ":" + s.tag
		if full == name {
			return s, nil
		}
		known = append(known, full)
	}
	return standIn{}, fmt.Errorf("there is no stand-in for %q, only for %s", name, strings.Join(known, ", "))
}

func (m *Mirror) stockOne(ctx context.Context, s standIn) error {
	m.shelf.making.Lock()
	defer m.shelf.making.Unlock()
	name := s.repo + ":" + s.tag
	if _, ok := m.shelf.served[name]; ok {
		return nil
	}
	made, err := m.shelf.fetch(ctx, s)
	if err != nil {
		return fmt.Errorf("making a stand-in for %s: %w", name, err)
	}
	raw, err := m.shelf.layout.Bytes(made.Manifest)
	if err != nil {
		return err
	}
	for _, reference := range []string{s.tag, made.Manifest.String()} {
		put := httptest.NewRequest(http.MethodPut, "/v2/"+s.repo+"/manifests/"+reference, bytes.NewReader(raw))
		put.Header.Set("Content-Type", made.Type)
		answer := httptest.NewRecorder()
		if m.backend.ServeHTTP(answer, put); answer.Code != http.StatusCreated {
			return fmt.Errorf("stocking %s: %s", name, answer.Body)
		}
	}
	m.shelf.served[name] = made
	return nil
}

func (s *shelf) recipeFile(of standIn) string {
	return filepath.Join(s.dir, filepath.Base(of.repo)+"_"+of.tag+".json")
}

// has tells if a stand-in was made before.
func (s *shelf) has(of standIn) bool {
	_, err := os.Stat(s.recipeFile(of))
	return err == nil
}

// fetch gives the image as it was made before from the same inputs, or makes it.
func (s *shelf) fetch(ctx context.Context, of standIn) (recipe, error) {
	key, err := of.key()
	if err != nil {
		return recipe{}, err
	}
	var r recipe
	if text, err := os.ReadFile(s.recipeFile(of)); err == nil {
		if json.Unmarshal(text, &r) == nil && r.Key == key && s.whole(r.Manifest) {
			return r, nil
		}
	}
	temp, err := os.MkdirTemp(s.dir, "making-")
	if err != nil {
		return recipe{}, err
	}
	defer os.RemoveAll(temp) // what stays only takes room
	img, err := of.make(ctx, temp)
	if err != nil {
		return recipe{}, err
	}
	if err := s.layout.WriteImage(img); err != nil {
		return recipe{}, fmt.Errorf("keeping the image: %w", err)
	}
	return s.note(of, key, img)
}

func (s *shelf) note(of standIn, key string, img v1.Image) (recipe, error) {
	digest, err := img.Digest()
	if err != nil {
		return recipe{}, err
	}
	mediaType, err := img.MediaType()
	if err != nil {
		return recipe{}, err
	}
	r := recipe{key, digest, string(mediaType)}
	text, err := json.Marshal(r)
	if err != nil {
		return recipe{}, err
	}
	path := s.recipeFile(of)
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return recipe{}, err
	}
	return r, os.Rename(path+".new", path)
}

// whole tells if the manifest and all it names are there.
func (s *shelf) whole(manifest v1.Hash) bool {
	raw, err := s.layout.Bytes(manifest)
	if err != nil {
		return false
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return false
	}
	for _, d := range append(m.Layers, m.Config) {
		if info, err := os.Stat(s.blob(d.Digest)); err != nil || info.Size() != d.Size {
			return false
		}
	}
	return true
}

func (s *shelf) blob(h v1.Hash) string { return filepath.Join(s.dir, "blobs", h.Algorithm, h.Hex) }

// Stat gives a blob's size.
func (s *shelf) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	info, err := os.Stat(s.blob(h))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, registry.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Get opens a blob.
func (s *shelf) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	f, err := os.Open(s.blob(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, registry.ErrNotFound
	}
	return f, err
}

// Put takes a blob that somebody pushed; the registry has wrapped rc so that
// a wrong digest is an error at its end.
func (s *shelf) Put(_ context.Context, _ string, h v1.Hash, rc io.ReadCloser) (err error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, "blobs"), "push-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, rc)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), s.blob(h))
}
