package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// addImage writes an image of a shared layer and one of its own, a kilobyte
// each.
func addImage(t *testing.T, s *Store, name string) ocispec.Descriptor {
	t.Helper()
	put := func(mediaType string, b []byte) ocispec.Descriptor {
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
		if err := writeBlob(t.Context(), s.content, desc, b); err != nil {
			t.Fatal(err)
		}
		return desc
	}
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: put(ocispec.MediaTypeImageConfig, []byte(`{"of":"`+name+`"}`)),
		Layers: []ocispec.Descriptor{
			put(ocispec.MediaTypeImageLayer, bytes.Repeat([]byte("s"), 1000)), put(ocispec.MediaTypeImageLayer, bytes.Repeat([]byte(name[:1]), 1000)),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return put(ocispec.MediaTypeImageManifest, manifest)
}

// TestPrune builds five images, a day apart; the last one has the name.
func TestPrune(t *testing.T) {
	const day = 24 * time.Hour
	for name, x := range map[string]struct {
		keep Keep
		used string // an old one that is used again at the end
		want []string
	}{
		"no bound":                {Keep{}, "", []string{"a", "b", "c", "d", "e"}},
		"by age":                  {Keep{Age: 60 * time.Hour}, "", []string{"c", "d", "e"}},
		"by age, one used again":  {Keep{Age: 60 * time.Hour}, "a", []string{"a", "c", "d", "e"}},
		"by size":                 {Keep{Bytes: 5000}, "", []string{"d", "e"}},
		"by size, one used again": {Keep{Bytes: 5000}, "b", []string{"b", "e"}},
		"what is named stays":     {Keep{Bytes: 1, Age: 1}, "", []string{"e"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			s.now = func() time.Time { return now }
			images := map[string]ocispec.Descriptor{}
			for _, of := range []string{"a", "b", "c", "d", "e"} {
				images[of] = addImage(t, s, of)
				if err := errors.Join(s.Remember(t.Context(), "shop/web", images[of]), s.Tag(t.Context(), "shop/web", images[of])); err != nil {
					t.Fatal(err)
				}
				now = now.Add(day)
			}
			if x.used != "" {
				if err := s.Remember(t.Context(), "shop/web", images[x.used]); err != nil {
					t.Fatal(err)
				}
			}
			now = now.Add(-day / 2)
			freed, err := s.Prune(t.Context(), x.keep)
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for of, desc := range images {
				if whole(t.Context(), s, desc) == nil {
					left = append(left, of)
				} else if _, err := s.content.Info(t.Context(), desc.Digest); err == nil {
					t.Errorf("of %s the manifest is left", of)
				}
			}
			slices.Sort(left)
			if !slices.Equal(left, x.want) || (freed > 0) != (len(left) < 5) {
				t.Errorf("%q are left, %d bytes freed, want %q", left, freed, x.want)
			}
		})
	}
}

func whole(ctx context.Context, s *Store, root ocispec.Descriptor) error {
	return Walk(ctx, s.Source(), root.Digest, func(d ocispec.Descriptor, _ *Manifest) error {
		_, err := s.content.Info(ctx, d.Digest)
		return err
	})
}

// TestPruneBesideAPush: content whose name is yet to come stays, and nothing
// goes while an image is written.
func TestPruneBesideAPush(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	desc := addImage(t, s, "p")
	if freed, err := s.Prune(t.Context(), Keep{Bytes: 1}); err != nil || freed != 0 {
		t.Errorf("pruning freed %d (%v)", freed, err)
	}
	release, err := s.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return time.Now().Add(2 * unnamedGrace) }
	if _, err := s.Prune(t.Context(), Keep{}); !errors.Is(err, ErrBusy) {
		t.Errorf("while an image is written: %v", err)
	}
	release()
	if freed, err := s.Prune(t.Context(), Keep{}); err != nil || freed < 2000 {
		t.Errorf("later pruning freed %d (%v)", freed, err)
	}
	if err := whole(t.Context(), s, desc); err == nil {
		t.Error("what nobody named is still there")
	}
}

// TestAGivenNameIsNotForgotten: a push by digest gives the same name.
func TestAGivenNameIsNotForgotten(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	desc := addImage(t, s, "n")
	if err := s.Tag(t.Context(), fmt.Sprintf("shop/web@%s", desc.Digest), desc); err != nil {
		t.Fatal(err)
	}
	if err := s.Remember(t.Context(), "shop/web", desc); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(t.Context(), Keep{Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	if u, err := s.Usage(t.Context()); err != nil || u.Names != 1 || u.Remembered != 0 || u.Total < 2000 {
		t.Errorf("left are %+v (%v)", u, err)
	}
}

// TestPruneDue prunes once an hour.
func TestPruneDue(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range []struct {
		image string
		later time.Duration
		want  int // images that are left
	}{{"a", 0, 0}, {"b", time.Minute, 1}, {"c", 2 * time.Hour, 0}} {
		s.now = func() time.Time { return time.Now().Add(x.later) }
		if err := s.Remember(t.Context(), "shop/web", addImage(t, s, x.image)); err != nil {
			t.Fatal(err)
		}
		if err := s.PruneDue(t.Context(), Keep{Bytes: 1}); err != nil {
			t.Fatal(err)
		}
		if u, err := s.Usage(t.Context()); err != nil || u.Remembered != x.want {
			t.Errorf("%d: %+v (%v), want %d images", i, u, err, x.want)
		}
	}
}
