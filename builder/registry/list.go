package registry

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func (h *handler) listTags(w http.ResponseWriter, r *http.Request, to route) error {
	entries, err := h.Names.List(r.Context())
	if err != nil {
		return err
	}
	tags, known := []string{}, false
	for _, e := range entries {
		repo, tag := splitName(e.Name)
		if repo != to.repo {
			continue
		}
		known = true
		if tag != "" {
			tags = append(tags, tag)
		}
	}
	if !known {
		return errNameUnknown
	}
	tags, err = h.page(w, r, tags)
	if err != nil {
		return err
	}
	return writeJSON(w, "application/json", map[string]any{"name": to.repo, "tags": tags})
}

func (h *handler) listRepositories(w http.ResponseWriter, r *http.Request) error {
	entries, err := h.Names.List(r.Context())
	if err != nil {
		return err
	}
	repos := []string{}
	for _, e := range entries {
		repo, _ := splitName(e.Name)
		repos = append(repos, repo)
	}
	repos, err = h.page(w, r, repos)
	if err != nil {
		return err
	}
	return writeJSON(w, "application/json", map[string]any{"repositories": repos})
}

// page sorts a list, takes the part that n and last ask for, and links the
// next one.
func (h *handler) page(w http.ResponseWriter, r *http.Request, all []string) ([]string, error) {
	slices.Sort(all)
	all = slices.Compact(all)
	q := r.URL.Query()
	if last := q.Get("last"); last != "" {
		i, found := slices.BinarySearch(all, last)
		if found {
			i++
		}
		all = all[i:]
	}
	if q.Get("n") == "" {
		return all, nil
	}
	n, err := strconv.Atoi(q.Get("n"))
	if err != nil || n < 0 {
		return nil, &protocolError{http.StatusBadRequest, "UNSUPPORTED", "n is not a number of 0 or more"}
	}
	if n < len(all) {
		all = all[:n]
		if n > 0 {
			next := url.Values{"n": {strconv.Itoa(n)}, "last": {all[n-1]}}
			w.Header().Set("Link", fmt.Sprintf("<%s?%s>; rel=\"next\"", r.URL.Path, next.Encode()))
		}
	}
	return all, nil
}

// listReferrers answers with an index of the manifests whose subject is the
// digest asked for; none is an empty index.
func (h *handler) listReferrers(w http.ResponseWriter, r *http.Request, to route) error {
	entries, err := h.Names.List(r.Context())
	if err != nil {
		return err
	}
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
	want := r.URL.Query().Get("artifactType")
	seen := map[digest.Digest]bool{}
	for _, e := range entries {
		repo, _ := splitName(e.Name)
		if repo != to.repo || e.Subject != digest.Digest(to.ref) || seen[e.Digest] {
			continue
		}
		seen[e.Digest] = true
		if want == "" || e.ArtifactType == want {
			index.Manifests = append(index.Manifests, e.Descriptor)
		}
	}
	if want != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	return writeJSON(w, ocispec.MediaTypeImageIndex, index)
}

// splitName cuts a name of the index into repository and tag; the tag of
// REPOSITORY@DIGEST is empty.
func splitName(s string) (repo, tag string) {
	if repo, _, ok := strings.Cut(s, "@"); ok {
		return repo, ""
	}
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, '/') {
		return s[:i], s[i+1:]
	}
	return s, ""
}
