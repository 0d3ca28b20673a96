package registry_test

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"dray/builder/registry"
	"dray/builder/registry/sourcetest"
	"dray/pipeline/event"
)

// noLogin keeps tests away from the login of whoever runs them.
var noLogin = authn.NewMultiKeychain()

func reference(t *testing.T, s string) name.Reference {
	t.Helper()
	ref, err := registry.ParseReference(s, false)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestPush(t *testing.T) {
	far, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	h := registry.Handler(far.Source(), registry.HandlerOptions{Names: far, Content: far.Content()})
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			sent.Add(max(0, r.ContentLength))
			if r.ContentLength < 0 {
				sent.Add(1)
			}
		}
		h.ServeHTTP(w, r)
	}))
	near := openStore(t, t.TempDir())
	img := sourcetest.Fill(t, near)

	var mu sync.Mutex
	var last event.Event
	sink := event.Func(func(e event.Event) { mu.Lock(); last = e; mu.Unlock() })
	opts := registry.PushOptions{Keychain: noLogin}
	if err := registry.Push(t.Context(), near.Source(), img.Index.Digest, reference(t, host+"/shop/web:v1"), opts, sink); err != nil {
		t.Fatal(err)
	}
	if last.Unit != "bytes" || last.Done < img.Layer.Size || last.Done != last.Total {
		t.Errorf("progress ended with %+v", last)
	}
	if e, err := far.Resolve(t.Context(), "shop/web:v1"); err != nil || e.Digest != img.Index.Digest {
		t.Errorf("the registry has %+v (%v)", e, err)
	}
	first := sent.Swap(0)
	if err := registry.Push(t.Context(), near.Source(), img.Index.Digest, reference(t, host+"/shop/web:v2"), opts, sink); err != nil {
		t.Fatal(err)
	}
	if first == 0 || sent.Load() != 0 {
		t.Errorf("the first push sent %d bytes, the second %d again", first, sent.Load())
	}
	byDigest := host + "/shop/web@" + img.Index.Digest.String()
	if err := registry.Push(t.Context(), near.Source(), img.Index.Digest, reference(t, byDigest), opts, sink); err != nil {
		t.Errorf("pushing by digest: %v", err)
	}
}

func TestPushMountsFromARelatedRepository(t *testing.T) {
	far := openStore(t, t.TempDir())
	h := registry.Handler(far.Source(), registry.HandlerOptions{Names: far, Content: far.Content()})
	var asked, uploaded atomic.Int32
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/other/") {
			http.Error(w, "", http.StatusNotFound) // as if repositories were kept apart
			return
		}
		if r.URL.Query().Get("from") == "shop/web" {
			asked.Add(1)
		}
		if r.Method == http.MethodPatch {
			uploaded.Add(1)
		}
		h.ServeHTTP(w, r)
	}))
	near := openStore(t, t.TempDir())
	img := sourcetest.Fill(t, near)
	for _, repo := range []string{"shop/web", "other"} {
		uploaded.Store(0)
		related := reference(t, host+"/shop/web:v1").Context()
		opts := registry.PushOptions{Keychain: noLogin, MountFrom: []name.Repository{related}}
		if err := registry.Push(t.Context(), near.Source(), img.Index.Digest, reference(t, host+"/"+repo+":v1"), opts, event.Discard); err != nil {
			t.Fatal(err)
		}
	}
	if asked.Load() == 0 || uploaded.Load() > 1 { // the config is no layer and travels
		t.Errorf("%d mounts were asked for, %d blobs uploaded again", asked.Load(), uploaded.Load())
	}
}

func TestPushErrorsSayWhatToDo(t *testing.T) {
	near := openStore(t, t.TempDir())
	img := sourcetest.Fill(t, near)
	answer := func(status int, code string) string {
		return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				return
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"errors":[{"code":"` + code + `","message":"no"}]}`))
		}))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		host string
		is   error
		says string
	}{
		"not logged in": {answer(401, "UNAUTHORIZED"), errdefs.ErrUnauthenticated, "asks for a login"},
		"denied":        {answer(403, "DENIED"), errdefs.ErrPermissionDenied, "denies"},
		"not found":     {answer(404, "NAME_UNKNOWN"), errdefs.ErrNotFound, "does not have"},
		"unreachable":   {closed, registry.ErrUnreachable, "can't be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			err := registry.Push(t.Context(), near.Source(), img.Index.Digest, reference(t, x.host+"/shop/web:v1"),
				registry.PushOptions{Keychain: noLogin}, event.Discard)
			if !errors.Is(err, x.is) || !strings.Contains(err.Error(), x.says) || !strings.Contains(err.Error(), x.host) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestPlainHTTPNeedsLeave uses an address of this machine that is not
// loopback, so nothing leaves it.
func TestPlainHTTPNeedsLeave(t *testing.T) {
	addr := ownAddress(t)
	l, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	far := openStore(t, t.TempDir())
	srv := &http.Server{Handler: registry.Handler(far.Source(), registry.HandlerOptions{Names: far, Content: far.Content()})}
	go srv.Serve(l) // it ends with the listener
	t.Cleanup(func() { srv.Close() })
	near := openStore(t, t.TempDir())
	img := sourcetest.Fill(t, near)
	push := func(insecure bool) error {
		ref, err := registry.ParseReference(l.Addr().String()+"/shop/web:v1", insecure)
		if err != nil {
			t.Fatal(err)
		}
		return registry.Push(t.Context(), near.Source(), img.Index.Digest, ref, registry.PushOptions{Keychain: noLogin, Insecure: insecure}, event.Discard)
	}
	if err := push(false); err == nil || !strings.Contains(err.Error(), "in the clear") {
		t.Errorf("without leave: %v", err)
	}
	if err := push(true); err != nil {
		t.Errorf("with leave: %v", err)
	}
}

func ownAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

func TestPushFromARandomIndex(t *testing.T) {
	_, c := serveStore(t)
	idx, err := random.Index(5000, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	h, err := idx.Digest()
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(c.base, "http://")
	first := reference(t, host+"/a:v1")
	if err := pushIndex(first, idx); err != nil {
		t.Fatal(err)
	}
	// From one registry to another, through a Source, with no store between.
	far, c2 := serveStore(t)
	src := remoteSource(t, host+"/a", registry.RemoteOptions{})
	ref := reference(t, strings.TrimPrefix(c2.base, "http://")+"/b:v1")
	if err := registry.Push(t.Context(), src, digest.Digest(h.String()), ref, registry.PushOptions{Keychain: noLogin}, event.Discard); err != nil {
		t.Fatal(err)
	}
	if e, err := far.Resolve(t.Context(), "b:v1"); err != nil || e.Digest.String() != h.String() {
		t.Errorf("the second registry has %+v (%v)", e, err)
	}
}

func pushIndex(ref name.Reference, idx v1.ImageIndex) error { return remote.WriteIndex(ref, idx) }
