package registry_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
	"dray/builder/registry/sourcetest"
	"dray/pipeline/event"
)

// faulty is the real handler behind a proxy that misbehaves as registries do.
type faulty struct {
	near *registry.Store // has the image
	img  sourcetest.Image
	far  *registry.Store // the registry's
	host string
}

// newFaulty serves a registry through fault, which answers itself or asks next.
func newFaulty(t *testing.T, fault func(w http.ResponseWriter, r *http.Request, next http.Handler)) faulty {
	t.Helper()
	f := faulty{near: openStore(t, t.TempDir()), far: openStore(t, t.TempDir())}
	f.img = sourcetest.Fill(t, f.near)
	h := registry.Handler(f.far.Source(), registry.HandlerOptions{Names: f.far, Content: f.far.Content()})
	f.host = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fault(w, r, h) }))
	return f
}

func (f faulty) push(t *testing.T, keychain authn.Keychain) error {
	t.Helper()
	return registry.Push(t.Context(), f.near.Source(), f.img.Index.Digest, reference(t, f.host+"/shop/web:v1"),
		registry.PushOptions{Keychain: keychain}, event.Discard)
}

// pull reads all of the image from the registry.
func (f faulty) pull(t *testing.T, opts registry.RemoteOptions) error {
	t.Helper()
	src := remoteSource(t, f.host+"/shop/web", opts)
	return registry.Walk(t.Context(), src, f.img.Index.Digest, func(desc ocispec.Descriptor, m *registry.Manifest) error {
		if m != nil {
			return nil // Walk has read it
		}
		_, err := registry.ReadAll(t.Context(), src, desc, desc.Size)
		return err
	})
}

// roundTrips pushes and pulls back.
func (f faulty) roundTrips(t *testing.T) {
	t.Helper()
	if err := f.push(t, noLogin); err != nil {
		t.Errorf("pushing: %v", err)
	}
	if err := f.pull(t, registry.RemoteOptions{}); err != nil {
		t.Errorf("pulling: %v", err)
	}
}

func TestBusyRegistry(t *testing.T) {
	t.Run("it says five times how long to wait", func(t *testing.T) {
		asked := map[string]*atomic.Int32{}
		for _, method := range []string{"GET", "HEAD", "POST", "PATCH", "PUT"} {
			asked[method] = &atomic.Int32{}
		}
		newFaulty(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if asked[r.Method].Add(1) <= 5 {
				w.Header().Set("Retry-After", "0")
				http.Error(w, `{"errors":[{"code":"TOOMANYREQUESTS"}]}`, http.StatusTooManyRequests)
				return
			}
			next.ServeHTTP(w, r)
		}).roundTrips(t)
	})
	t.Run("a blob fails twice without a word", func(t *testing.T) {
		var blobs atomic.Int32
		newFaulty(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && blobs.Add(1) <= 2 {
				w.WriteHeader([]int{http.StatusServiceUnavailable, http.StatusTooManyRequests}[blobs.Load()%2])
				return
			}
			next.ServeHTTP(w, r)
		}).roundTrips(t)
	})
}

// bearer lets only requests with a token through; it gives tokens itself, to
// anybody or to ci.
func bearer(realm func(r *http.Request) string, wants string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch user, password, _ := r.BasicAuth(); {
		case r.URL.Path == "/token" && wants != "" && (user != wants || password != "s3cret"):
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}`, http.StatusUnauthorized)
		case r.URL.Path == "/token":
			_, _ = fmt.Fprintf(w, `{"token":%q}`, "for "+r.URL.Query().Get("service"))
		case r.URL.Path == "/v2/":
			next.ServeHTTP(w, r) // open, although no repository is
		case r.Header.Get("Authorization") != "Bearer for shop":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="shop",scope="repository:shop/web:pull"`, realm(r)))
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}`, http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	}
}

func sameHost(r *http.Request) string { return "http://" + r.Host + "/token" }

func TestOpenRegistryWithClosedRepositories(t *testing.T) {
	newFaulty(t, bearer(sameHost, "")).roundTrips(t)
}

func TestLoginErrorsTellRefusedFromMissing(t *testing.T) {
	f := newFaulty(t, bearer(sameHost, "ci"))
	for name, x := range map[string]struct {
		opts registry.RemoteOptions
		says string
	}{
		"none":  {registry.RemoteOptions{}, "asks for a login, and there is none"},
		"wrong": {registry.RemoteOptions{Username: "ci", Password: "old"}, "refuses the login of ci"},
		"other": {registry.RemoteOptions{Username: "<token>", Password: "old"}, "refuses the login of a token"},
	} {
		t.Run(name, func(t *testing.T) {
			err := f.pull(t, x.opts)
			if !errdefs.IsUnauthorized(err) || !strings.Contains(err.Error(), x.says) {
				t.Errorf("the error is %v, want %q in it", err, x.says)
			}
			_, err = registry.ResolveReference(t.Context(), reference(t, f.host+"/shop/web:v1"), x.opts)
			if !errdefs.IsUnauthorized(err) || !strings.Contains(err.Error(), x.says) {
				t.Errorf("looking up: the error is %v, want %q in it", err, x.says)
			}
		})
	}
	if err := f.push(t, keychain{authn.AuthConfig{Username: "ci", Password: "s3cret"}}); err != nil {
		t.Errorf("with the right password: %v", err)
	}
}

type keychain struct{ config authn.AuthConfig }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(k.config), nil
}

// TestNobodyAtAPrivateAddress is about the reason that is told: that plain HTTP
// would need leave is of no use where nobody listens.
func TestNobodyAtAPrivateAddress(t *testing.T) {
	l, err := net.Listen("tcp", net.JoinHostPort(ownAddress(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f := faulty{near: openStore(t, t.TempDir()), host: l.Addr().String()}
	f.img = sourcetest.Fill(t, f.near)
	if err := f.push(t, noLogin); !errors.Is(err, registry.ErrUnreachable) || strings.Contains(err.Error(), "insecure") {
		t.Errorf("the error is %v", err)
	}
}

func TestUploadsThatEndWithAnotherStatus(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusNoContent} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			newFaulty(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/blobs/") {
					next.ServeHTTP(w, r)
					return
				}
				answer := httptest.NewRecorder()
				next.ServeHTTP(answer, r)
				w.WriteHeader(status)
			}).roundTrips(t)
		})
	}
}

// sibling serves h at another address of this machine.
func sibling(t *testing.T, h http.Handler) (host string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return l.Addr().String()
}

func TestRegistryWithSiblings(t *testing.T) {
	t.Run("blobs are elsewhere", func(t *testing.T) {
		var next atomic.Pointer[http.Handler]
		blobs := sibling(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" {
				t.Error("credentials of the registry came along")
			}
			(*next.Load()).ServeHTTP(w, r)
		}))
		f := newFaulty(t, func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			next.Store(&h)
			if strings.Contains(r.URL.Path, "/blobs/sha256") {
				http.Redirect(w, r, "http://"+blobs+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			h.ServeHTTP(w, r)
		})
		if err := f.push(t, keychain{authn.AuthConfig{Username: "ci", Password: "s3cret"}}); err != nil {
			t.Errorf("pushing: %v", err)
		}
		if err := f.pull(t, registry.RemoteOptions{Username: "ci", Password: "s3cret"}); err != nil {
			t.Errorf("pulling: %v", err)
		}
	})
	t.Run("uploads go elsewhere", func(t *testing.T) {
		var next atomic.Pointer[http.Handler]
		uploads := sibling(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*next.Load()).ServeHTTP(w, r) }))
		newFaulty(t, func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			next.Store(&h)
			if r.Method != http.MethodPost {
				h.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, r)
			w.Header().Set("Location", "http://"+uploads+answer.Header().Get("Location"))
			w.WriteHeader(answer.Code)
		}).roundTrips(t)
	})
	t.Run("tokens come from elsewhere", func(t *testing.T) {
		give := bearer(nil, "ci")
		tokens := sibling(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { give(w, r, nil) }))
		f := newFaulty(t, bearer(func(*http.Request) string { return "http://" + tokens + "/token" }, ""))
		if err := f.push(t, keychain{authn.AuthConfig{Username: "ci", Password: "s3cret"}}); err != nil {
			t.Errorf("pushing: %v", err)
		}
	})
	t.Run("never to a link-local address", func(t *testing.T) {
		f := newFaulty(t, func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			if strings.Contains(r.URL.Path, "/blobs/sha256") {
				http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusTemporaryRedirect)
				return
			}
			h.ServeHTTP(w, r)
		})
		if err := f.push(t, noLogin); err == nil || !strings.Contains(err.Error(), "169.254.169.254") {
			t.Errorf("pushing: %v", err)
		}
		err := copyBlob(t, f)
		if err == nil || !strings.Contains(err.Error(), "169.254.169.254") {
			t.Errorf("pulling: %v", err)
		}
	})
}

func copyBlob(t *testing.T, f faulty) error {
	t.Helper()
	r, err := remoteSource(t, f.host+"/shop/web", registry.RemoteOptions{}).Fetch(t.Context(), f.img.Layer, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

func TestManifestsUnderOtherMediaTypes(t *testing.T) {
	for _, mediaType := range []string{"application/json", "text/plain; charset=utf-8", "application/octet-stream", ""} {
		t.Run(mediaType, func(t *testing.T) {
			f := newFaulty(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !strings.Contains(r.URL.Path, "/manifests/") || r.Method == http.MethodPut {
					next.ServeHTTP(w, r)
					return
				}
				answer := httptest.NewRecorder()
				next.ServeHTTP(answer, r)
				w.Header()["Content-Type"] = nil
				if mediaType != "" {
					w.Header().Set("Content-Type", mediaType)
				}
				w.WriteHeader(answer.Code)
				_, _ = w.Write(answer.Body.Bytes())
			})
			f.roundTrips(t)
			src := remoteSource(t, f.host+"/shop/web", registry.RemoteOptions{})
			desc, err := src.Resolve(t.Context(), f.img.Index.Digest)
			if err != nil || desc.MediaType != ocispec.MediaTypeImageIndex || desc.Size != f.img.Index.Size {
				t.Errorf("resolving gave %+v (%v)", desc, err)
			}
			// A relay in front of it shows the manifest for what it is.
			relay := remoteSource(t, serve(t, registry.Handler(limit(src, f.img.Index.Digest), registry.HandlerOptions{}))+"/x", registry.RemoteOptions{})
			if _, err := relay.Resolve(t.Context(), f.img.Index.Digest); err != nil {
				t.Errorf("through a relay: %v", err)
			}
		})
	}
}

// immutable refuses to set a tag that is there, even to the same.
func immutable(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") && !strings.Contains(r.URL.Path, "sha256:") {
		seen := httptest.NewRecorder()
		next.ServeHTTP(seen, httptest.NewRequestWithContext(r.Context(), http.MethodHead, r.URL.Path, http.NoBody))
		if seen.Code == http.StatusOK {
			http.Error(w, `{"errors":[{"code":"TAG_INVALID","message":"The image tag already exists and cannot be overwritten"}]}`, http.StatusBadRequest)
			return
		}
	}
	next.ServeHTTP(w, r)
}

func TestImmutableTags(t *testing.T) {
	var writes atomic.Int32
	f := newFaulty(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			writes.Add(1)
		}
		immutable(w, r, next)
	})
	push := func(d digest.Digest) error {
		return registry.Push(t.Context(), f.near.Source(), d, reference(t, f.host+"/shop/web@"+d.String()),
			registry.PushOptions{Keychain: noLogin, Tags: []string{"git-1", "v1"}}, event.Discard)
	}
	if err := push(f.img.Index.Digest); err != nil {
		t.Fatal(err)
	}
	writes.Store(0)
	if err := push(f.img.Index.Digest); err != nil || writes.Load() != 0 {
		t.Errorf("the same once more: %v, after %d requests that write", err, writes.Load())
	}
	if err := push(f.img.Manifest.Digest); err == nil || !strings.Contains(err.Error(), "tagging it git-1: it leads to another image, and the registry does not let it move") {
		t.Errorf("another image under the tag: %v", err)
	}
}

// TestOldImageFormat looks that whoever asks through a relay learns what is
// wrong with an image.
func TestOldImageFormat(t *testing.T) {
	old := []byte(`{"schemaVersion":1,"name":"shop/web","fsLayers":[]}`)
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
		_, _ = w.Write(old)
	}))
	d := digest.FromBytes(old)
	src := remoteSource(t, host+"/shop/web", registry.RemoteOptions{})
	relay := remoteSource(t, serve(t, registry.Handler(src, registry.HandlerOptions{}))+"/x", registry.RemoteOptions{})
	desc := ocispec.Descriptor{Digest: d, MediaType: ocispec.MediaTypeImageManifest}
	if _, err := registry.ReadAll(t.Context(), relay, desc, registry.MaxManifest); err == nil || !strings.Contains(err.Error(), "schema 1") {
		t.Errorf("the error is %v", err)
	}
}

func TestMissingCredentialHelper(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("DOCKER_CONFIG", dir)
	path := filepath.Join(dir, "config.json")
	for name, text := range map[string]string{
		"for all": "{\n\t\"auths\": {},\n\t\"credsStore\": \"nowhere\"\n}\n",
		"for one": "{\n\t\"auths\": {},\n\t\"credHelpers\": {\"127.0.0.1:1\": \"nowhere\"}\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := registry.Credentials(t.Context(), authn.DefaultKeychain, "127.0.0.1:1/shop/web")
			var missing *registry.HelperError
			if !errors.As(err, &missing) || missing.Line != 3 || !strings.Contains(err.Error(), path+":3 names the credential helper docker-credential-nowhere") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestCredentialsTravel hands every kind of login to another machine's client.
func TestCredentialsTravel(t *testing.T) {
	for name, x := range map[string]struct {
		config authn.AuthConfig
		header string
	}{
		"password":       {authn.AuthConfig{Username: "ci", Password: "s3cret"}, "Basic " + base64.StdEncoding.EncodeToString([]byte("ci:s3cret"))},
		"registry token": {authn.AuthConfig{RegistryToken: "t0ken"}, "Bearer t0ken"},
	} {
		t.Run(name, func(t *testing.T) {
			var got atomic.Value
			f := newFaulty(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if strings.Contains(r.URL.Path, "/manifests/") {
					got.Store(r.Header.Get("Authorization"))
				}
				next.ServeHTTP(w, r)
			})
			user, password, err := registry.Credentials(t.Context(), keychain{x.config}, f.host+"/shop/web")
			if err != nil {
				t.Fatal(err)
			}
			if err := f.push(t, noLogin); err != nil {
				t.Fatal(err)
			}
			if err := f.pull(t, registry.RemoteOptions{Username: user, Password: password}); err != nil || got.Load() != x.header {
				t.Errorf("the registry saw %q (%v)", got.Load(), err)
			}
		})
	}
}
