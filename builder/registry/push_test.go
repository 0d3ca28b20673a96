package registry_test

import (
	"context"
	"dray/builder/registry"
	"dray/pipeline/event"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestSmoke(t *testing.T) {
	s, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(registry.Handler(s.Source(), registry.HandlerOptions{Names: s, Content: s.Content()}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	idx, _ := random.Index(100000, 3, 2)
	ref, _ := name.ParseReference(host + "/shop/web:v1")
	if err := remote.WriteIndex(ref, idx); err != nil {
		t.Fatal(err)
	}
	h, _ := idx.Digest()
	ctx := context.Background()
	s2, _ := registry.Open(t.TempDir())
	src, err := registry.Remote(host+"/shop/web", registry.RemoteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := registry.Copy(ctx, src, s2.Content(), digest.Digest(h.String()), registry.CopyOptions{}, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := s2.Tag(ctx, "shop/web", d); err != nil {
		t.Fatal(err)
	}
	ref2, _ := name.ParseReference(host + "/shop/other:v2")
	if err := registry.Push(ctx, s2.Source(), d.Digest, ref2, registry.PushOptions{}, event.Func(func(e event.Event) { t.Log(e.Done, e.Total) })); err != nil {
		t.Fatal(err)
	}
	l, _ := s.List(ctx)
	for _, e := range l {
		t.Log(e.Name, e.Digest, e.Total)
	}
}
