package registry_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"dray/builder/registry"
	"dray/builder/registry/sourcetest"
)

func TestSources(t *testing.T) {
	for name, source := range map[string]func(*testing.T, *registry.Store, sourcetest.Image) registry.Source{
		"local":       localSource,
		"limited":     limitedSource,
		"peer":        peerSource,
		"prefix":      prefixSource,
		"registry":    registrySource,
		"with login":  loginSource,
		"other maker": otherMaker,
		"relay":       relaySource,
		"no ranges":   rangelessSource,
	} {
		t.Run(name, func(t *testing.T) { sourcetest.Run(t, source) })
	}
}

func localSource(_ *testing.T, s *registry.Store, _ sourcetest.Image) registry.Source {
	return s.Source()
}

// limit shows of src what the roots reach.
func limit(src registry.Source, roots ...digest.Digest) registry.Source {
	return registry.Limit(src, func() []digest.Digest { return roots })
}

func limitedSource(_ *testing.T, s *registry.Store, img sourcetest.Image) registry.Source {
	return limit(s.Source(), img.Index.Digest)
}

func peerSource(t *testing.T, s *registry.Store, _ sourcetest.Image) registry.Source {
	socket := filepath.Join(t.TempDir(), "peer.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(registry.Handler(s.Source(), registry.HandlerOptions{}))
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return registry.Peer(socket)
}

func serve(t *testing.T, h http.Handler) (host string) {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func prefixSource(t *testing.T, s *registry.Store, _ sourcetest.Image) registry.Source {
	host := serve(t, registry.Handler(s.Source(), registry.HandlerOptions{Prefix: "/dray/v1/registry"}))
	return registry.Dial("t1", "/dray/v1/registry", func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", host)
	})
}

func remoteSource(t *testing.T, repository string, opts registry.RemoteOptions) registry.Source {
	src, err := registry.Remote(repository, opts)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func registrySource(t *testing.T, s *registry.Store, _ sourcetest.Image) registry.Source {
	return remoteSource(t, serve(t, registry.Handler(s.Source(), registry.HandlerOptions{}))+"/shop/web", registry.RemoteOptions{})
}

func loginSource(t *testing.T, s *registry.Store, _ sourcetest.Image) registry.Source {
	host := serve(t, guardedBy("ci", "s3cret", registry.Handler(s.Source(), registry.HandlerOptions{})))
	return remoteSource(t, host+"/shop/web", registry.RemoteOptions{Username: "ci", Password: "s3cret"})
}

// guardedBy asks for a name and password before it lets anybody in.
func guardedBy(user, password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		if u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}`, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// otherMaker is go-containerregistry's own registry.
func otherMaker(t *testing.T, s *registry.Store, img sourcetest.Image) registry.Source {
	host := serve(t, ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	idx, err := registry.Index(t.Context(), s.Source(), img.Index.Digest)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/shop/web:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, idx); err != nil {
		t.Fatal(err)
	}
	return remoteSource(t, host+"/shop/web", registry.RemoteOptions{})
}

func relaySource(t *testing.T, s *registry.Store, img sourcetest.Image) registry.Source {
	far := registrySource(t, s, img)
	return remoteSource(t, serve(t, registry.Handler(limit(far, img.Index.Digest), registry.HandlerOptions{}))+"/shop/web", registry.RemoteOptions{})
}

func rangelessSource(t *testing.T, s *registry.Store, _ sourcetest.Image) registry.Source {
	h := registry.Handler(s.Source(), registry.HandlerOptions{})
	return remoteSource(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		h.ServeHTTP(w, r)
	}))+"/shop/web", registry.RemoteOptions{})
}

func TestLimitHidesTheRest(t *testing.T) {
	s, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img := sourcetest.Fill(t, s)
	var other sourcetest.Image
	t.Run("another image", func(t *testing.T) { other = sourcetest.Fill(t, s) })
	src := remoteSource(t, serve(t, registry.Handler(limit(s.Source(), img.Manifest.Digest), registry.HandlerOptions{}))+"/x", registry.RemoteOptions{})
	for _, d := range []digest.Digest{other.Layer.Digest, other.Index.Digest, img.Index.Digest} {
		if _, err := src.Resolve(t.Context(), d); !errdefs.IsNotFound(err) {
			t.Errorf("%s is shown: %v", d, err)
		}
	}
	if _, err := src.Resolve(t.Context(), img.Layer.Digest); err != nil {
		t.Errorf("the layer is hidden: %v", err)
	}
}
