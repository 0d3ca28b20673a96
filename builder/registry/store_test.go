package registry_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
	"dray/builder/registry/sourcetest"
)

func openStore(t *testing.T, dir string) *registry.Store {
	t.Helper()
	s, err := registry.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	img := sourcetest.Fill(t, s)
	if err := s.Tag(t.Context(), "shop/api", img.Manifest); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, dir)
	e, err := again.Resolve(t.Context(), "shop/api:latest")
	if err != nil || e.Digest != img.Manifest.Digest || e.MediaType != img.Manifest.MediaType {
		t.Fatalf("resolved %+v (%v)", e, err)
	}
	if want := img.Manifest.Size + img.Config.Size + img.Layer.Size; e.Total != want {
		t.Errorf("total is %d, want %d", e.Total, want)
	}
	if err := again.Untag(t.Context(), "shop/api"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(t.Context(), "shop/api"); !errdefs.IsNotFound(err) {
		t.Errorf("after untagging: %v", err)
	}
	if err := s.Untag(t.Context(), "shop/api"); !errdefs.IsNotFound(err) {
		t.Errorf("untagging again: %v", err)
	}
}

func TestTagRefusesAnImageThatIsNotWhole(t *testing.T) {
	s := openStore(t, t.TempDir())
	img := sourcetest.Fill(t, s)
	if err := s.Content().Delete(t.Context(), img.Layer.Digest); err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(t.Context(), "x", img.Index); !errdefs.IsNotFound(err) {
		t.Errorf("tagging an image without its layer: %v", err)
	}
	if err := s.Tag(t.Context(), "x", ocispec.Descriptor{Digest: img.Config.Digest}); err == nil {
		t.Error("a config was tagged as an image")
	}
}

// TestManyProcessesTag runs this test binary several times at once over one
// store: no name may be lost.
func TestManyProcessesTag(t *testing.T) {
	if dir := os.Getenv("REGISTRY_TEST_DIR"); dir != "" {
		s := openStore(t, dir)
		e, err := s.Resolve(t.Context(), "shop/web:v1")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if err := s.Tag(t.Context(), fmt.Sprintf("p%s/%d", os.Getenv("REGISTRY_TEST_N"), i), e.Descriptor); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	dir := t.TempDir()
	s := openStore(t, dir)
	sourcetest.Fill(t, s)
	var all []*exec.Cmd
	for n := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestManyProcessesTag$")
		cmd.Env = append(os.Environ(), "REGISTRY_TEST_DIR="+dir, fmt.Sprintf("REGISTRY_TEST_N=%d", n))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 41 {
		t.Errorf("%d names (%v), want 41", len(list), err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "names.json.*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestGC(t *testing.T) {
	s := openStore(t, t.TempDir())
	img := sourcetest.Fill(t, s)
	c := client{t, "http://" + serve(t, registry.Handler(s.Source(), registry.HandlerOptions{Names: s, Content: s.Content()}))}
	evidence := pushReferrer(t, c, img, "application/vnd.in-toto+json")

	release, err := s.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(t.Context(), 0); !errors.Is(err, registry.ErrBusy) {
		t.Errorf("while an image is written, GC gives %v", err)
	}
	release()
	if freed, err := s.GC(t.Context(), 0); err != nil || freed != 0 {
		t.Errorf("with all in use, GC freed %d (%v)", freed, err)
	}
	if err := s.Untag(t.Context(), "shop/web:v1"); err != nil {
		t.Fatal(err)
	}
	if freed, err := s.GC(t.Context(), time.Hour); err != nil || freed != 0 {
		t.Errorf("of what is recent, GC freed %d (%v)", freed, err)
	}
	freed, err := s.GC(t.Context(), 0)
	if err != nil || freed < img.Layer.Size {
		t.Errorf("GC freed %d (%v)", freed, err)
	}
	for _, d := range []digest.Digest{img.Index.Digest, img.Layer.Digest, evidence} {
		if _, err := s.Content().Info(t.Context(), d); !errdefs.IsNotFound(err) {
			t.Errorf("%s is still there (%v)", d, err)
		}
	}
}

func TestHoldSaysWhyItEnded(t *testing.T) {
	s := openStore(t, t.TempDir())
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := s.Hold(ctx); !errors.Is(err, why) {
		t.Errorf("holding: %v", err)
	}
	if err := s.Untag(ctx, "shop/api"); !errors.Is(err, why) {
		t.Errorf("changing names: %v", err)
	}
}
