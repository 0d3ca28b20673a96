package registry

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// FuzzParsePath: whatever is accepted is safe to put into a file name or a URL.
func FuzzParsePath(f *testing.F) {
	d := digest.FromString("x").String()
	for _, s := range []string{
		"/v2", "/v2/", "/v2/_catalog", "/v2/a/b/manifests/latest", "/v2/a/blobs/" + d, "/v2/a/blobs/uploads/",
		"/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef", "/v2/a/referrers/" + d, "/v2/a/tags/list",
		"/v2/../manifests/x", "/v2/a/manifests/sha256:../x", "/v2//blobs/" + d, "/v2/a/blobs/uploads/blobs/uploads/x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parsePath(s)
		if err != nil {
			return
		}
		if strings.Contains(r.repo, "..") || strings.HasPrefix(r.repo, "/") || len(r.repo) > 255 {
			t.Errorf("%q has the repository %q", s, r.repo)
		}
		if strings.ContainsAny(r.ref, "/\\ \n") || r.ref == ".." || r.ref == "." {
			t.Errorf("%q has the reference %q", s, r.ref)
		}
		needsDigest := r.kind == kindBlob || r.kind == kindReferrers
		if needsDigest && digest.Digest(r.ref).Validate() != nil {
			t.Errorf("%q has the digest %q", s, r.ref)
		}
		if r.kind >= kindTags && r.repo == "" {
			t.Errorf("%q has no repository", s)
		}
	})
}

// FuzzParseRange: a range that is accepted lies within the content.
func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=5-", "bytes=-5", "bytes=9-1", "bytes=-0", "bytes=0-1,2-3", "bytes=+1-2", "items=0-1", "bytes=99999999999999999999-"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, s string, size int64) {
		if size < 0 {
			return
		}
		first, last, ok, err := parseRange(s, size)
		if ok && (err != nil || first < 0 || last < first || last >= size) {
			t.Errorf("%q of %d gives %d-%d (%v)", s, size, first, last, err)
		}
	})
}

// FuzzParseManifest: what is accepted keeps ParseManifest's promises.
func FuzzParseManifest(f *testing.F) {
	d := digest.FromString("x").String()
	for _, s := range []string{
		`{"schemaVersion":2,"config":{"digest":"` + d + `","size":1},"layers":[]}`,
		`{"schemaVersion":2,"manifests":[{"digest":"` + d + `","size":1}]}`,
		`{"schemaVersion":2,"manifests":[],"layers":[]}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","config":{}}`,
		`{"schemaVersion":2,"config":{"digest":"sha256:x","size":-1}}`,
		`{"schemaVersion":1}`, `null`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		if !IsManifest(m.MediaType) || IsIndex(m.MediaType) != (m.Config == nil) {
			t.Errorf("%s is taken as %s", b, m.MediaType)
		}
		for _, c := range m.Children() {
			if c.Digest.Validate() != nil || c.Size < 0 {
				t.Errorf("%s has the child %+v", b, c)
			}
		}
	})
}
