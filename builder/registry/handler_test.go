package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
	"dray/builder/registry/sourcetest"
)

// client speaks to a handler by hand.
type client struct {
	t    *testing.T
	base string
}

func serveStore(t *testing.T) (*registry.Store, client) {
	t.Helper()
	s, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := registry.Handler(s.Source(), registry.HandlerOptions{Names: s, Content: s.Content()})
	return s, client{t, "http://" + serve(t, h)}
}

// do sends a request and wants a status; it gives headers and body.
func (c client) do(method, path string, body io.Reader, want int, header ...string) (http.Header, string) {
	c.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = c.base + path
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != want {
		c.t.Fatalf("%s %s answered %d %s, want %d", method, path, resp.StatusCode, b, want)
	}
	return resp.Header, string(b)
}

func (c client) location(h http.Header) string { return c.base + h.Get("Location") }

func TestUploadInChunks(t *testing.T) {
	s, c := serveStore(t)
	blob := bytes.Repeat([]byte("dray"), 1000)
	d := digest.FromBytes(blob)
	h, _ := c.do("POST", "/v2/shop/web/blobs/uploads/", nil, 202)
	up := c.location(h)
	c.do("PATCH", up, bytes.NewReader(blob[:1000]), 202, "Content-Range", "0-999")
	h, _ = c.do("PATCH", up, bytes.NewReader(blob[2000:3000]), 416, "Content-Range", "2000-2999")
	if h.Get("Range") != "0-999" {
		t.Errorf("the upload says it has %q", h.Get("Range"))
	}
	c.do("PATCH", up, bytes.NewReader(blob[1000:3000]), 202, "Content-Range", "1000-2999")
	if h, _ = c.do("GET", up, nil, 204); h.Get("Range") != "0-2999" {
		t.Errorf("the upload says it has %q", h.Get("Range"))
	}
	h, _ = c.do("PUT", up+"?digest="+d.String(), bytes.NewReader(blob[3000:]), 201)
	if h.Get("Docker-Content-Digest") != d.String() {
		t.Errorf("digest is %q", h.Get("Docker-Content-Digest"))
	}
	if _, body := c.do("GET", h.Get("Location"), nil, 200); body != string(blob) {
		t.Error("the blob is another one")
	}
	if _, err := s.Content().Info(t.Context(), d); err != nil {
		t.Error(err)
	}
	h, _ = c.do("POST", "/v2/other/blobs/uploads/?from=shop/web&mount="+d.String(), nil, 201)
	c.do("HEAD", h.Get("Location"), nil, 200)
}

func TestUploadsThatAreRefused(t *testing.T) {
	_, c := serveStore(t)
	wrong := digest.FromString("something else").String()
	h, _ := c.do("POST", "/v2/a/blobs/uploads/", nil, 202)
	up := c.location(h)
	_, body := c.do("PUT", up+"?digest="+wrong, strings.NewReader("content"), 400)
	wantCode(t, body, "DIGEST_INVALID")
	_, body = c.do("PATCH", up, strings.NewReader("x"), 404)
	wantCode(t, body, "BLOB_UPLOAD_UNKNOWN")
	_, body = c.do("POST", "/v2/a/blobs/uploads/?digest=sha256:zz", strings.NewReader("x"), 400)
	wantCode(t, body, "DIGEST_INVALID")
	h, _ = c.do("POST", "/v2/a/blobs/uploads/", nil, 202)
	c.do("DELETE", c.location(h), nil, 204)
	c.do("GET", c.location(h), nil, 404)
}

func wantCode(t *testing.T, body, code string) {
	t.Helper()
	var e struct {
		Errors []struct{ Code, Message string } `json:"errors"`
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || len(e.Errors) != 1 || e.Errors[0].Code != code || e.Errors[0].Message == "" {
		t.Errorf("answer is %s, want the code %s", body, code)
	}
}

func TestErrorsAreTheSpecifications(t *testing.T) {
	s, c := serveStore(t)
	img := sourcetest.Fill(t, s)
	none := digest.FromString("none").String()
	for _, x := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/v2/shop/web/manifests/none", 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/shop/web/manifests/" + none, 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/shop/web/manifests/" + img.Layer.Digest.String(), 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/shop/web/blobs/" + none, 404, "BLOB_UNKNOWN"},
		{"GET", "/v2/shop/web/blobs/sha256:1", 400, "DIGEST_INVALID"},
		{"GET", "/v2/Shop/web/blobs/" + none, 400, "NAME_INVALID"},
		{"GET", "/v2/none/tags/list", 404, "NAME_UNKNOWN"},
		{"GET", "/v2/shop/web/manifests/-bad", 400, "TAG_INVALID"},
		{"DELETE", "/v2/shop/web/blobs/" + none, 405, "UNSUPPORTED"},
		{"GET", "/v2/shop/web/tags/list?n=-1", 400, "UNSUPPORTED"},
		{"GET", "/elsewhere", 404, "UNSUPPORTED"},
	} {
		_, body := c.do(x.method, x.path, nil, x.status)
		wantCode(t, body, x.code)
	}
}

func TestReadOnlyRefusesWrites(t *testing.T) {
	s, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img := sourcetest.Fill(t, s)
	c := client{t, "http://" + serve(t, registry.Handler(s.Source(), registry.HandlerOptions{}))}
	for _, x := range [][2]string{
		{"POST", "/v2/a/blobs/uploads/"}, {"PUT", "/v2/a/manifests/v1"}, {"DELETE", "/v2/shop/web/manifests/" + img.Index.Digest.String()},
		{"GET", "/v2/_catalog"}, {"GET", "/v2/shop/web/tags/list"},
	} {
		_, body := c.do(x[0], x[1], nil, 405)
		wantCode(t, body, "UNSUPPORTED")
	}
	c.do("GET", "/v2/shop/web/manifests/v1", nil, 404)
}

func TestRanges(t *testing.T) {
	s, c := serveStore(t)
	img := sourcetest.Fill(t, s)
	size := len(img.LayerBytes)
	path := "/v2/shop/web/blobs/" + img.Layer.Digest.String()
	for header, want := range map[string][2]int{
		"bytes=0-9": {0, 10}, "bytes=5-": {5, size}, "bytes=-7": {size - 7, size}, "bytes=10-99999999": {10, size},
	} {
		h, body := c.do("GET", path, nil, 206, "Range", header)
		if body != string(img.LayerBytes[want[0]:want[1]]) {
			t.Errorf("%s gave %d bytes", header, len(body))
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", want[0], want[1]-1, size); h.Get("Content-Range") != want {
			t.Errorf("%s: Content-Range is %q, want %q", header, h.Get("Content-Range"), want)
		}
	}
	c.do("GET", path, nil, 416, "Range", fmt.Sprintf("bytes=%d-", size))
	c.do("GET", path, nil, 200, "Range", "bytes=0-1,3-4")
	if h, _ := c.do("HEAD", path, nil, 200); h.Get("Content-Length") != fmt.Sprint(size) {
		t.Errorf("HEAD says %s bytes", h.Get("Content-Length"))
	}
}

func pushRandom(t *testing.T, c client, repoTag string) v1.Image {
	t.Helper()
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(strings.TrimPrefix(c.base, "http://") + "/" + repoTag)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestTagsAndCatalogueInPages(t *testing.T) {
	_, c := serveStore(t)
	for _, name := range []string{"b/two:v2", "a/one:v1", "b/two:v1", "b/two:v3"} {
		pushRandom(t, c, name)
	}
	if _, body := c.do("GET", "/v2/_catalog", nil, 200); body != `{"repositories":["a/one","b/two"]}` {
		t.Errorf("catalogue is %s", body)
	}
	h, body := c.do("GET", "/v2/b/two/tags/list?n=2", nil, 200)
	if body != `{"name":"b/two","tags":["v1","v2"]}` {
		t.Errorf("tags are %s", body)
	}
	next, _, _ := strings.Cut(strings.TrimPrefix(h.Get("Link"), "<"), ">")
	if h, body := c.do("GET", next, nil, 200); body != `{"name":"b/two","tags":["v3"]}` || h.Get("Link") != "" {
		t.Errorf("the next page is %s, linked %q", body, h.Get("Link"))
	}
}

func TestDeletingByTagAndByDigest(t *testing.T) {
	_, c := serveStore(t)
	img := pushRandom(t, c, "shop/web:v1")
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	c.do("DELETE", "/v2/shop/web/manifests/v1", nil, 202)
	c.do("GET", "/v2/shop/web/manifests/v1", nil, 404)
	c.do("GET", "/v2/shop/web/manifests/"+d.String(), nil, 200)
	pushRandom(t, c, "shop/web:v2")
	img = pushRandom(t, c, "shop/web:v3")
	if d, err = img.Digest(); err != nil {
		t.Fatal(err)
	}
	c.do("DELETE", "/v2/shop/web/manifests/"+d.String(), nil, 202)
	if _, body := c.do("GET", "/v2/shop/web/tags/list", nil, 200); body != `{"name":"shop/web","tags":["v2"]}` {
		t.Errorf("tags are %s", body)
	}
}

func TestReferrers(t *testing.T) {
	s, c := serveStore(t)
	img := sourcetest.Fill(t, s)
	if _, body := c.do("GET", "/v2/shop/web/referrers/"+img.Index.Digest.String(), nil, 200); !strings.Contains(body, `"manifests":[]`) {
		t.Errorf("without referrers the answer is %s", body)
	}
	for _, kind := range []string{"application/vnd.in-toto+json", "application/vnd.other"} {
		d := pushReferrer(t, c, img, kind)
		_, body := c.do("GET", "/v2/shop/web/referrers/"+img.Index.Digest.String()+"?artifactType="+url.QueryEscape(kind), nil, 200)
		var idx ocispec.Index
		if err := json.Unmarshal([]byte(body), &idx); err != nil {
			t.Fatal(err)
		}
		if len(idx.Manifests) != 1 || idx.Manifests[0].Digest != d || idx.Manifests[0].ArtifactType != kind || idx.Manifests[0].Annotations["who"] != "t1" {
			t.Errorf("referrers of type %s are %s", kind, body)
		}
	}
	_, body := c.do("GET", "/v2/shop/web/referrers/"+img.Index.Digest.String(), nil, 200)
	if strings.Count(body, `"digest"`) != 2 {
		t.Errorf("all referrers are %s", body)
	}
}

func pushReferrer(t *testing.T, c client, img sourcetest.Image, kind string) digest.Digest {
	t.Helper()
	empty := digest.FromString("{}")
	c.do("POST", "/v2/shop/web/blobs/uploads/?digest="+empty.String(), strings.NewReader("{}"), 201)
	b, err := json.Marshal(ocispec.Manifest{
		Versioned: ocispec.Index{}.Versioned, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: kind,
		Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{ocispec.DescriptorEmptyJSON},
		Subject: &img.Index, Annotations: map[string]string{"who": "t1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte(`"schemaVersion":0`), []byte(`"schemaVersion":2`), 1)
	d := digest.FromBytes(b)
	h, _ := c.do("PUT", "/v2/shop/web/manifests/"+d.String(), bytes.NewReader(b), 201)
	if h.Get("OCI-Subject") != img.Index.Digest.String() {
		t.Errorf("OCI-Subject is %q", h.Get("OCI-Subject"))
	}
	return d
}

// TestReferrerWithoutAType: its config's media type stands in.
func TestReferrerWithoutAType(t *testing.T) {
	s, c := serveStore(t)
	img := sourcetest.Fill(t, s)
	b, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": img.Config, "layers": []ocispec.Descriptor{img.Layer}, "subject": img.Index,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.do("PUT", "/v2/shop/web/manifests/"+digest.FromBytes(b).String(), bytes.NewReader(b), 201)
	_, body := c.do("GET", "/v2/shop/web/referrers/"+img.Index.Digest.String()+"?artifactType="+url.QueryEscape(ocispec.MediaTypeImageConfig), nil, 200)
	var idx ocispec.Index
	if err := json.Unmarshal([]byte(body), &idx); err != nil || len(idx.Manifests) != 1 || idx.Manifests[0].ArtifactType != ocispec.MediaTypeImageConfig {
		t.Errorf("the referrers are %s (%v)", body, err)
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	s, c := serveStore(t)
	img := sourcetest.Fill(t, s)
	_, body := c.do("PUT", "/v2/shop/web/manifests/v2", strings.NewReader("{"), 400)
	wantCode(t, body, "MANIFEST_INVALID")
	_, body = c.do("PUT", "/v2/shop/web/manifests/"+digest.FromString("x").String(), bytes.NewReader(img.IndexBytes), 400)
	wantCode(t, body, "DIGEST_INVALID")
	lost := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"x","digest":%q,"size":3},"layers":[]}`,
		ocispec.MediaTypeImageManifest, digest.FromString("lost"))
	_, body = c.do("PUT", "/v2/shop/web/manifests/v2", strings.NewReader(lost), 400)
	wantCode(t, body, "MANIFEST_BLOB_UNKNOWN")
	_, body = c.do("PUT", "/v2/shop/web/manifests/v2", bytes.NewReader(make([]byte, registry.MaxManifest+1)), 413)
	wantCode(t, body, "SIZE_INVALID")
}
