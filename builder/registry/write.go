package registry

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func (h *handler) serveWrite(w http.ResponseWriter, r *http.Request, to route) error {
	switch {
	case to.kind == kindManifest && r.Method == http.MethodPut:
		return h.putManifest(w, r, to)
	case to.kind == kindManifest && r.Method == http.MethodDelete:
		return h.deleteManifest(w, r, to)
	case to.kind == kindUploads && r.Method == http.MethodPost:
		return h.startUpload(w, r, to)
	case to.kind == kindUpload && r.Method == http.MethodPatch:
		return h.patchUpload(w, r, to)
	case to.kind == kindUpload && r.Method == http.MethodPut:
		return h.putUpload(w, r, to)
	case to.kind == kindUpload && r.Method == http.MethodGet:
		return h.uploadStatus(w, r, to)
	case to.kind == kindUpload && r.Method == http.MethodDelete:
		return h.deleteUpload(w, r, to)
	}
	return errReadOnly
}

// startUpload mounts a blob that is here already, takes one in a single
// request, or opens an upload.
func (h *handler) startUpload(w http.ResponseWriter, r *http.Request, to route) error {
	q := r.URL.Query()
	if mount := digest.Digest(q.Get("mount")); mount != "" {
		if mount.Validate() != nil {
			return errDigest
		}
		if _, err := h.Content.Info(r.Context(), mount); err == nil {
			h.created(w, to.repo, "blobs", mount)
			return nil
		}
	}
	var id [16]byte
	rand.Read(id[:]) // never fails, by its documentation
	to.ref = hex.EncodeToString(id[:])
	if q.Get("digest") != "" {
		return h.putUpload(w, r, to)
	}
	cw, err := h.writer(r, to)
	if err != nil {
		return err
	}
	if err := cw.Close(); err != nil {
		return fmt.Errorf("opening an upload: %w", err)
	}
	h.accepted(w, to, 0, http.StatusAccepted)
	return nil
}

func uploadRef(id string) string { return "upload-" + id }

func (h *handler) writer(r *http.Request, to route) (content.Writer, error) {
	cw, err := h.Content.Writer(r.Context(), content.WithRef(uploadRef(to.ref)))
	if errdefs.IsUnavailable(err) {
		return nil, fmt.Errorf("%w: another request writes to it", errUploadInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the upload: %w", err)
	}
	return cw, nil
}

// resume opens an upload that was started before.
func (h *handler) resume(r *http.Request, to route) (content.Writer, error) {
	if _, err := h.Content.Status(r.Context(), uploadRef(to.ref)); err != nil {
		return nil, orUnknown(err, errUploadUnknown)
	}
	return h.writer(r, to)
}

func (h *handler) patchUpload(w http.ResponseWriter, r *http.Request, to route) error {
	cw, err := h.resume(r, to)
	if err != nil {
		return err
	}
	defer cw.Close()
	n, err := h.appendChunk(w, r, to, cw)
	if err != nil {
		return err
	}
	h.accepted(w, to, n, http.StatusAccepted)
	return nil
}

// appendChunk adds the request's body to an upload and gives its size.
func (h *handler) appendChunk(w http.ResponseWriter, r *http.Request, to route, cw content.Writer) (int64, error) {
	status, err := cw.Status()
	if err != nil {
		return 0, fmt.Errorf("reading the upload's state: %w", err)
	}
	if header := r.Header.Get("Content-Range"); header != "" {
		var first, last int64
		if _, err := fmt.Sscanf(header, "%d-%d", &first, &last); err != nil || last < first {
			return 0, errUploadInvalid
		}
		if first != status.Offset {
			h.accepted(w, to, status.Offset, 0)
			return 0, errUploadOrder
		}
	}
	n, err := io.Copy(cw, r.Body)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errUploadInvalid, err)
	}
	return status.Offset + n, nil
}

// putUpload ends an upload, with its last chunk or all of it in the body.
func (h *handler) putUpload(w http.ResponseWriter, r *http.Request, to route) error {
	d := digest.Digest(r.URL.Query().Get("digest"))
	if d.Validate() != nil {
		return errDigest
	}
	open := h.resume
	if r.Method == http.MethodPost {
		open = h.writer
	}
	cw, err := open(r, to)
	if err != nil {
		return err
	}
	defer cw.Close()
	if _, err := h.appendChunk(w, r, to, cw); err != nil {
		return err
	}
	err = cw.Commit(r.Context(), 0, d)
	switch {
	case errdefs.IsAlreadyExists(err):
	case errdefs.IsFailedPrecondition(err):
		return h.abort(r, to, fmt.Errorf("%w: %w", errDigestMismatch, err))
	case err != nil:
		return fmt.Errorf("committing the blob: %w", err)
	}
	h.created(w, to.repo, "blobs", d)
	return nil
}

// abort removes an upload that can't become what it should.
func (h *handler) abort(r *http.Request, to route, cause error) error {
	if err := h.Content.Abort(r.Context(), uploadRef(to.ref)); err != nil && !errdefs.IsNotFound(err) {
		return errors.Join(cause, err)
	}
	return cause
}

func (h *handler) uploadStatus(w http.ResponseWriter, r *http.Request, to route) error {
	st, err := h.Content.Status(r.Context(), uploadRef(to.ref))
	if err != nil {
		return orUnknown(err, errUploadUnknown)
	}
	h.accepted(w, to, st.Offset, http.StatusNoContent)
	return nil
}

func (h *handler) deleteUpload(w http.ResponseWriter, r *http.Request, to route) error {
	if _, err := h.Content.Status(r.Context(), uploadRef(to.ref)); err != nil {
		return orUnknown(err, errUploadUnknown)
	}
	if err := h.abort(r, to, nil); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// putManifest takes a manifest whose content is all here.
func (h *handler) putManifest(w http.ResponseWriter, r *http.Request, to route) error {
	b, err := io.ReadAll(io.LimitReader(r.Body, MaxManifest+1))
	if err != nil {
		return fmt.Errorf("%w: %w", errManifestInvalid, err)
	}
	if len(b) > MaxManifest {
		return errSize
	}
	name, d := to.repo+":"+to.ref, digest.FromBytes(b)
	if want := digest.Digest(to.ref); want.Validate() == nil {
		d = want.Algorithm().FromBytes(b)
		if d != want {
			return errDigestMismatch
		}
		name = to.repo + "@" + to.ref
	}
	m, err := ParseManifest(b)
	if err != nil {
		return fmt.Errorf("%w: %w", errManifestInvalid, err)
	}
	desc := ocispec.Descriptor{MediaType: m.MediaType, Digest: d, Size: int64(len(b))}
	if err := writeBlob(r.Context(), h.Content, desc, b); err != nil {
		return err
	}
	if err := h.Names.Tag(r.Context(), name, desc); err != nil {
		return orUnknown(err, fmt.Errorf("%w: %w", errBlobMissing, err))
	}
	if m.Subject != nil {
		w.Header().Set("OCI-Subject", m.Subject.Digest.String())
	}
	h.created(w, to.repo, "manifests", d)
	return nil
}

// deleteManifest removes a tag, or by digest every name of the repository that
// leads to it. Content goes with the next garbage collection.
func (h *handler) deleteManifest(w http.ResponseWriter, r *http.Request, to route) error {
	entries, err := h.Names.List(r.Context())
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		repo, tag := splitName(e.Name)
		if repo != to.repo || tag != to.ref && e.Digest.String() != to.ref {
			continue
		}
		found = true
		if err := h.Names.Untag(r.Context(), e.Name); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	if !found {
		return errManifestUnknown
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (h *handler) created(w http.ResponseWriter, repo, kind string, d digest.Digest) {
	w.Header().Set("Location", fmt.Sprintf("%s/v2/%s/%s/%s", h.Prefix, repo, kind, d))
	w.Header().Set("Docker-Content-Digest", d.String())
	w.WriteHeader(http.StatusCreated)
}

// accepted describes an upload of n bytes so far; a status of 0 leaves the
// answer to the caller.
func (h *handler) accepted(w http.ResponseWriter, to route, n int64, status int) {
	w.Header().Set("Location", fmt.Sprintf("%s/v2/%s/blobs/uploads/%s", h.Prefix, to.repo, url.PathEscape(to.ref)))
	w.Header().Set("Docker-Upload-UUID", to.ref)
	w.Header().Set("Range", "0-"+strconv.FormatInt(max(0, n-1), 10))
	if status != 0 {
		w.WriteHeader(status)
	}
}
