package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Keep bounds what a store remembers. What has a name of its own stays, however
// large or old it is.
type Keep struct {
	Bytes int64         // of all content together; 0 is no bound
	Age   time.Duration // since an image was last remembered; 0 is no bound
}

// unnamedGrace is how long content stays that no name leads to: a push writes
// an image's content before its name.
const unnamedGrace = time.Hour

// pruneEvery is how often a store is pruned by itself.
const pruneEvery = time.Hour

// Remember keeps an image until Prune finds that there is no more room for it:
// as NAME@DIGEST, beside the NAME that moves to the next one. Remembering it
// again makes it the one used last.
func (s *Store) Remember(ctx context.Context, name string, desc ocispec.Descriptor) error {
	release, err := s.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	entry := Entry{Descriptor: desc, Name: name + "@" + desc.Digest.String(), Time: s.now().UTC(), Remembered: true}
	if err := s.complete(ctx, &entry); err != nil {
		return fmt.Errorf("remembering %s: %w", name, err)
	}
	return s.exclusive(ctx, func(n *names) error {
		if old, ok := n.Names[entry.Name]; ok && !old.Remembered {
			return nil // somebody has named it so: it stays for good
		}
		n.Names[entry.Name] = entry
		return nil
	})
}

// Prune forgets remembered images, the least recently used first, until keep
// holds, and removes content that no name reaches any more. It gives the bytes
// freed. While any process holds the store it does nothing and returns ErrBusy.
func (s *Store) Prune(ctx context.Context, keep Keep) (freed int64, err error) {
	entries, err := s.List(ctx)
	if err != nil {
		return 0, err
	}
	forgotten, err := s.tooMany(ctx, entries, keep)
	if err != nil {
		return 0, fmt.Errorf("choosing images to forget: %w", err)
	}
	if len(forgotten) > 0 {
		err := s.exclusive(ctx, func(n *names) error {
			for _, e := range forgotten {
				if now, ok := n.Names[e.Name]; ok && now.Remembered && now.Time.Equal(e.Time) { // not used meanwhile
					delete(n.Names, e.Name)
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return s.GC(ctx, unnamedGrace)
}

// PruneDue is Prune where that has not been done for pruneEvery: it reads what
// every name leads to. That somebody writes is no error.
func (s *Store) PruneDue(ctx context.Context, keep Keep) error {
	mark := filepath.Join(s.dir, "pruned")
	if info, err := os.Stat(mark); err == nil && s.now().Sub(info.ModTime()) < pruneEvery {
		return nil
	}
	if _, err := s.Prune(ctx, keep); err != nil {
		if errors.Is(err, ErrBusy) {
			return nil
		}
		return err
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return fmt.Errorf("pruning the image store: %w", err)
	}
	return nil
}

// tooMany lists the remembered images that are too old, and of the others the
// least recently used ones that there is no room for.
func (s *Store) tooMany(ctx context.Context, entries []Entry, keep Keep) ([]Entry, error) {
	slices.SortFunc(entries, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	holders := map[digest.Digest]int{} // how many names reach a blob
	sizes := map[digest.Digest]int64{}
	var total int64
	reached := make([][]digest.Digest, len(entries))
	for i, e := range entries {
		err := s.reach(ctx, e.Digest, func(d digest.Digest, size int64) {
			reached[i] = append(reached[i], d)
			if holders[d]++; holders[d] == 1 {
				sizes[d] = size
				total += size
			}
		})
		if err != nil {
			return nil, err
		}
	}
	var out []Entry
	for i, e := range entries {
		old := keep.Age > 0 && s.now().Sub(e.Time) > keep.Age
		if !e.Remembered || !old && (keep.Bytes == 0 || total <= keep.Bytes) {
			continue
		}
		out = append(out, e)
		for _, d := range reached[i] {
			if holders[d]--; holders[d] == 0 {
				total -= sizes[d]
			}
		}
	}
	return out, nil
}

// reach visits what a root reaches and is here, each once. A root that is gone
// reaches nothing.
func (s *Store) reach(ctx context.Context, root digest.Digest, visit func(digest.Digest, int64)) error {
	err := Walk(ctx, s.Source(), root, func(d ocispec.Descriptor, _ *Manifest) error {
		info, err := s.content.Info(ctx, d.Digest)
		if errdefs.IsNotFound(err) {
			return nil // of another platform, or a foreign layer
		}
		if err == nil {
			visit(d.Digest, info.Size)
		}
		return err
	})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// Usage is what a store holds.
type Usage struct {
	Names      int   `json:"names"`      // that somebody gave
	Remembered int   `json:"remembered"` // images that Prune may forget
	Total      int64 `json:"total"`      // bytes of all content
}

// Usage counts names and content.
func (s *Store) Usage(ctx context.Context) (Usage, error) {
	entries, err := s.List(ctx)
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	for _, e := range entries {
		if e.Remembered {
			u.Remembered++
		} else {
			u.Names++
		}
	}
	err = s.content.Walk(ctx, func(info content.Info) error {
		u.Total += info.Size
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return u, fmt.Errorf("measuring the image store: %w", err)
	}
	return u, nil
}
