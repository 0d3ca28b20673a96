package registry_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"dray/builder/registry"
	"dray/builder/registry/sourcetest"
	"dray/pipeline/event"
)

// TestStalls looks that a registry that stops in the middle of something does
// not keep anybody waiting.
func TestStalls(t *testing.T) {
	near, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img := sourcetest.Fill(t, near)
	full := registry.Handler(near.Source(), registry.HandlerOptions{})
	const stall = 200 * time.Millisecond
	waiting := func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	t.Run("a push that nobody takes", func(t *testing.T) {
		end := make(chan struct{})
		host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case http.MethodPost:
				w.Header().Set("Location", "/v2/shop/web/blobs/uploads/1")
				w.WriteHeader(http.StatusAccepted)
			case http.MethodPatch:
				<-end // not a byte of the body is read
			case http.MethodHead:
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		t.Cleanup(func() { close(end) })
		err := registry.Push(t.Context(), near.Source(), img.Index.Digest, reference(t, host+"/shop/web:v1"),
			registry.PushOptions{Keychain: noLogin, Stall: stall}, event.Discard)
		if !errors.Is(err, registry.ErrUnreachable) || !strings.Contains(err.Error(), host) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("a download that stops", func(t *testing.T) {
		host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") {
				w.Header().Set("Content-Length", "1048576")
				_, _ = w.Write(img.LayerBytes[:1000]) // the reader may leave
				waiting(w, r)
				return
			}
			full.ServeHTTP(w, r)
		}))
		src := remoteSource(t, host+"/shop/web", registry.RemoteOptions{Stall: stall})
		r, err := src.Fetch(t.Context(), img.Layer, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if !errors.Is(err, registry.ErrUnreachable) || len(b) != 1000 {
			t.Errorf("%d bytes came, and %v", len(b), err)
		}
	})
	t.Run("an answer that does not come", func(t *testing.T) {
		host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/manifests/") {
				<-r.Context().Done()
				return
			}
			full.ServeHTTP(w, r)
		}))
		_, err := registry.ResolveReference(t.Context(), reference(t, host+"/shop/web:v1"), registry.RemoteOptions{Stall: stall})
		if !errors.Is(err, registry.ErrUnreachable) || !strings.Contains(err.Error(), "stopped answering") {
			t.Errorf("the error is %v", err)
		}
	})
}
