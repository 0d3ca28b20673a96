package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Names is the index of names that a Handler serves tags from. A name is
// "REPOSITORY:TAG", or "REPOSITORY@DIGEST" for a manifest that was pushed
// without a tag. *Store is one.
type Names interface {
	Resolve(ctx context.Context, name string) (Entry, error)
	Tag(ctx context.Context, name string, desc ocispec.Descriptor) error
	Untag(ctx context.Context, name string) error
	List(ctx context.Context) ([]Entry, error)
}

// HandlerOptions say what a Handler offers beside content by digest.
type HandlerOptions struct {
	// Names gives tags, the catalogue and referrers. Nil: there are none.
	Names Names
	// Content takes pushes; it must be what the Source reads. Nil: read only.
	// Pushes need Names.
	Content content.Store
	// Prefix is the path under which the handler is mounted, without a slash
	// at its end: requests come with it.
	Prefix string
	// Log takes failures of the server's side. Nil discards.
	Log *slog.Logger
}

// Handler serves src by the OCI distribution specification, version 1.1:
// manifests and blobs by digest with ranges; with Names, tags, the catalogue
// and referrers; with Content, pushes and deletions.
//
// It asks for no credentials: who may reach it may use it.
func Handler(src Source, opts HandlerOptions) http.Handler {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Prefix = strings.TrimSuffix(opts.Prefix, "/")
	return &handler{src: src, HandlerOptions: opts}
}

type handler struct {
	src Source
	HandlerOptions
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	path, ok := strings.CutPrefix(r.URL.Path, h.Prefix)
	if !ok {
		h.fail(w, r, errPath)
		return
	}
	to, err := parsePath(path)
	if err == nil {
		err = h.serve(w, r, to)
	}
	if err != nil {
		h.fail(w, r, err)
	}
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, to route) error {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case read && to.kind == kindBase:
		return writeJSON(w, "application/json", struct{}{})
	case read && to.kind == kindManifest:
		return h.getManifest(w, r, to)
	case read && to.kind == kindBlob:
		return h.getBlob(w, r, to)
	case read && h.Names != nil && to.kind == kindTags:
		return h.listTags(w, r, to)
	case read && h.Names != nil && to.kind == kindCatalog:
		return h.listRepositories(w, r)
	case read && h.Names != nil && to.kind == kindReferrers:
		return h.listReferrers(w, r, to)
	case h.Content == nil || h.Names == nil:
		return errReadOnly
	}
	return h.serveWrite(w, r, to)
}

func (h *handler) getManifest(w http.ResponseWriter, r *http.Request, to route) error {
	d := digest.Digest(to.ref)
	if d.Validate() != nil {
		if h.Names == nil {
			return errManifestUnknown
		}
		entry, err := h.Names.Resolve(r.Context(), to.repo+":"+to.ref)
		if err != nil {
			return orUnknown(err, errManifestUnknown)
		}
		d = entry.Digest
	}
	desc, err := h.src.Resolve(r.Context(), d)
	if err != nil {
		return orUnknown(err, errManifestUnknown)
	}
	if !IsManifest(desc.MediaType) {
		return errManifestUnknown
	}
	return h.send(w, r, desc, errManifestUnknown)
}

func (h *handler) getBlob(w http.ResponseWriter, r *http.Request, to route) error {
	desc, err := h.src.Resolve(r.Context(), digest.Digest(to.ref))
	if err != nil {
		return orUnknown(err, errBlobUnknown)
	}
	if !IsManifest(desc.MediaType) {
		desc.MediaType = mediaTypeBlob
	}
	return h.send(w, r, desc, errBlobUnknown)
}

// send answers with content, or with the range of it that was asked for.
func (h *handler) send(w http.ResponseWriter, r *http.Request, desc ocispec.Descriptor, unknown error) error {
	head := w.Header()
	head.Set("Content-Type", desc.MediaType)
	head.Set("Docker-Content-Digest", desc.Digest.String())
	head.Set("Etag", strconv.Quote(desc.Digest.String()))
	head.Set("Accept-Ranges", "bytes")
	first, last, part, err := parseRange(r.Header.Get("Range"), desc.Size)
	if err != nil {
		head.Set("Content-Range", fmt.Sprintf("bytes */%d", desc.Size))
		return fmt.Errorf("%w: %w", errRangeInvalid, err)
	}
	status := http.StatusOK
	if !part {
		first, last = 0, desc.Size-1
	} else {
		status = http.StatusPartialContent
		head.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, desc.Size))
	}
	head.Set("Content-Length", strconv.FormatInt(last-first+1, 10))
	if r.Method == http.MethodHead {
		w.WriteHeader(status)
		return nil
	}
	body, err := h.src.Fetch(r.Context(), desc, first)
	if err != nil {
		head.Del("Content-Length")
		return orUnknown(err, unknown)
	}
	defer body.Close()
	w.WriteHeader(status)
	if _, err := io.CopyN(w, body, last-first+1); err != nil {
		// The status is gone; a short body is how the reader learns of it.
		h.Log.Warn("sending content failed", "digest", desc.Digest, "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

func orUnknown(err, unknown error) error {
	if errdefs.IsNotFound(err) {
		return unknown
	}
	return err
}

func writeJSON(w http.ResponseWriter, mediaType string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, err = w.Write(b)
	if err != nil {
		return errGone
	}
	return nil
}

// errGone says that the reader left: nothing can be answered any more.
var errGone = errors.New("the reader has gone")
