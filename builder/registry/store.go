package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/pipeline/durable"
)

// Store is one user's images in a folder:
//
//	blobs/sha256/HEX   content (containerd's content store)
//	ingest/            content that is being written
//	names.json         name → root, replaced whole
//	names.lock         flock, exclusive: held while names.json is changed
//	pruned             its time is that of the last pruning by itself
//	lock               flock: shared while content is written that no name
//	                   leads to yet (Hold), exclusive while GC removes content
//
// Several processes may use one folder at once.
type Store struct {
	dir     string
	content content.Store
	now     func() time.Time
}

// Entry is one name of a Store.
type Entry struct {
	ocispec.Descriptor               // of the manifest or index
	Name               string        `json:"name"`
	Subject            digest.Digest `json:"subject,omitempty"`    // what a referrer refers to
	Total              int64         `json:"total"`                // bytes of all content that the root reaches
	Time               time.Time     `json:"time"`                 // when the name was last set
	Remembered         bool          `json:"remembered,omitempty"` // Prune may forget it; see Remember
}

// names is the content of names.json.
type names struct {
	Version int              `json:"version"`
	Names   map[string]Entry `json:"names"`
}

// Open opens the store in dir, which is made if it is missing.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	cs, err := contentlocal.NewStore(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the image store in %s: %w", dir, err)
	}
	return &Store{dir: dir, content: cs, now: time.Now}, nil
}

// Content is the store's content. Who writes to it does so between Hold and
// its release, and ends with Tag.
func (s *Store) Content() content.Store { return s.content }

// Source is the store as a Source.
func (s *Store) Source() Source { return Local(s.content) }

// Hold keeps GC away, in any process, until release is called: hold while
// writing content that no name leads to yet.
func (s *Store) Hold(ctx context.Context) (release func(), err error) {
	l := flock.New(filepath.Join(s.dir, "lock"))
	if _, err := l.TryRLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, fmt.Errorf("locking the image store: %w", causeOf(ctx, err))
	}
	return func() { l.Close() }, nil // the lock ends with the file, whatever Close says
}

// causeOf says why the wait for a lock ended: flock knows of a context only that
// it is done, and whoever interrupts wants to read that, not "context canceled".
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// exclusive runs change on the names and writes them back.
func (s *Store) exclusive(ctx context.Context, change func(*names) error) error {
	l := flock.New(filepath.Join(s.dir, "names.lock"))
	if _, err := l.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return fmt.Errorf("locking the image names: %w", causeOf(ctx, err))
	}
	defer l.Close() // the lock ends with the file, whatever Close says
	n, err := s.read()
	if err != nil {
		return err
	}
	if err := change(n); err != nil {
		return err
	}
	b, err := json.MarshalIndent(n, "", "\t")
	if err != nil {
		return fmt.Errorf("encoding the image names: %w", err)
	}
	return durable.Write(filepath.Join(s.dir, "names.json"), b, 0o600)
}

func (s *Store) read() (*names, error) {
	n := &names{Version: 1, Names: map[string]Entry{}}
	b, err := os.ReadFile(filepath.Join(s.dir, "names.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the image names: %w", err)
	}
	if err := json.Unmarshal(b, n); err != nil {
		return nil, fmt.Errorf("reading the image names in %s: %w", s.dir, err)
	}
	if n.Version != 1 || n.Names == nil {
		return nil, fmt.Errorf("reading the image names in %s: version %d is not known to this dray", s.dir, n.Version)
	}
	return n, nil
}

// Tag gives an image a name, in place of what had it before. All content that
// desc reaches must be here, except manifests that an index lists for
// platforms that were not fetched; otherwise the error matches
// errdefs.ErrNotFound. A name without a tag gets ":latest".
func (s *Store) Tag(ctx context.Context, name string, desc ocispec.Descriptor) error {
	release, err := s.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	entry := Entry{Descriptor: desc, Name: normalize(name), Time: s.now().UTC()}
	if err := s.complete(ctx, &entry); err != nil {
		return fmt.Errorf("tagging %s: %w", name, err)
	}
	return s.exclusive(ctx, func(n *names) error {
		n.Names[entry.Name] = entry
		return nil
	})
}

// complete checks that all content of an entry is here and fills in what the
// root's manifest says.
func (s *Store) complete(ctx context.Context, e *Entry) error {
	present := 0
	err := Walk(ctx, s.Source(), e.Digest, func(d ocispec.Descriptor, m *Manifest) error {
		if m == nil && IsManifest(d.MediaType) {
			return nil
		}
		info, err := s.content.Info(ctx, d.Digest)
		if err != nil && len(d.URLs) == 0 {
			return err
		}
		if m != nil && !IsIndex(m.MediaType) {
			present++
		}
		e.Total += info.Size
		if d.Digest != e.Digest {
			return nil
		}
		if m == nil {
			return fmt.Errorf("%s is not a manifest: %w", d.Digest, errdefs.ErrInvalidArgument)
		}
		e.describe(m, info.Size)
		return nil
	})
	if err == nil && present == 0 && !IsIndex(e.MediaType) {
		return fmt.Errorf("no image under %s: %w", e.Digest, errdefs.ErrNotFound)
	}
	return err
}

func (e *Entry) describe(m *Manifest, size int64) {
	e.MediaType, e.Size, e.Annotations = m.MediaType, size, m.Annotations
	e.ArtifactType = m.ArtifactType
	// A referrer without a type of its own has its config's (distribution
	// specification 1.1, "Listing Referrers").
	if e.ArtifactType == "" && m.Config != nil && (m.Subject != nil || m.Config.MediaType != ocispec.MediaTypeImageConfig) {
		e.ArtifactType = m.Config.MediaType
	}
	if m.Subject != nil {
		e.Subject = m.Subject.Digest
	}
}

// Resolve finds a name.
func (s *Store) Resolve(_ context.Context, name string) (Entry, error) {
	n, err := s.read()
	if err != nil {
		return Entry{}, err
	}
	e, ok := n.Names[normalize(name)]
	if !ok {
		return Entry{}, fmt.Errorf("image %q: %w", name, errdefs.ErrNotFound)
	}
	return e, nil
}

// List gives all names, sorted.
func (s *Store) List(context.Context) ([]Entry, error) {
	n, err := s.read()
	if err != nil {
		return nil, err
	}
	all := make([]Entry, 0, len(n.Names))
	for _, e := range n.Names {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Untag removes a name. Its content goes with the next GC unless something
// else leads to it.
func (s *Store) Untag(ctx context.Context, name string) error {
	return s.exclusive(ctx, func(n *names) error {
		if _, ok := n.Names[normalize(name)]; !ok {
			return fmt.Errorf("image %q: %w", name, errdefs.ErrNotFound)
		}
		delete(n.Names, normalize(name))
		return nil
	})
}

func normalize(name string) string {
	if strings.Contains(name, "@") {
		return name
	}
	if _, tag := splitName(name); tag == "" {
		return name + ":latest"
	}
	return name
}

// writeBlob adds content that is in memory; having it already is no error.
func writeBlob(ctx context.Context, cs content.Ingester, desc ocispec.Descriptor, b []byte) error {
	err := content.WriteBlob(ctx, cs, "write-"+desc.Digest.String()+"-"+rand.Text(), bytes.NewReader(b), desc)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("writing %s: %w", desc.Digest, err)
	}
	return nil
}
