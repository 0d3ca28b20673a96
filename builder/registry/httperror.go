package registry

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/containerd/errdefs"
)

// protocolError is one of the distribution specification's error codes.
type protocolError struct {
	status  int
	code    string
	message string
}

func (e *protocolError) Error() string { return e.message }

var (
	errBlobUnknown     = &protocolError{http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry"}
	errManifestUnknown = &protocolError{http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown to registry"}
	errNameUnknown     = &protocolError{http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry"}
	errUploadUnknown   = &protocolError{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"}
	errUploadInvalid   = &protocolError{http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "blob upload invalid"}
	errUploadOrder     = &protocolError{http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", "chunk does not begin where the upload ends"}
	errManifestInvalid = &protocolError{http.StatusBadRequest, "MANIFEST_INVALID", "manifest invalid"}
	errBlobMissing     = &protocolError{http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", "manifest refers to content that the registry does not have"}
	errDigestMismatch  = &protocolError{http.StatusBadRequest, "DIGEST_INVALID", "content does not have the digest given"}
	errSize            = &protocolError{http.StatusRequestEntityTooLarge, "SIZE_INVALID", "manifest is larger than 4 MiB"}
	errRangeInvalid    = &protocolError{http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", "range not satisfiable"}
	errReadOnly        = &protocolError{http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported"}
)

// byCause gives the answer to errors that are not protocolErrors themselves.
var byCause = []struct {
	is     error
	answer protocolError
}{
	{errPath, protocolError{http.StatusNotFound, "UNSUPPORTED", ""}},
	{errName, protocolError{http.StatusBadRequest, "NAME_INVALID", ""}},
	{errTag, protocolError{http.StatusBadRequest, "TAG_INVALID", ""}},
	{errDigest, protocolError{http.StatusBadRequest, "DIGEST_INVALID", ""}},
	{ErrUnreachable, protocolError{http.StatusBadGateway, "UNKNOWN", ""}},
	{errdefs.ErrUnauthenticated, protocolError{http.StatusUnauthorized, "UNAUTHORIZED", ""}},
	{errdefs.ErrPermissionDenied, protocolError{http.StatusForbidden, "DENIED", ""}},
}

// fail answers with an error in the specification's form. Details of the
// server's own failures go to the log, not to the reader.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errGone) {
		return
	}
	answer := protocolError{http.StatusInternalServerError, "UNKNOWN", "the registry failed"}
	var known *protocolError
	var format *FormatError
	switch {
	case errors.As(err, &known):
		answer = *known
		answer.message = err.Error()
	case errors.As(err, &format):
		answer = protocolError{http.StatusUnprocessableEntity, "MANIFEST_INVALID", err.Error()}
	default:
		for _, c := range byCause {
			if errors.Is(err, c.is) {
				answer = c.answer
				answer.message = err.Error()
				break
			}
		}
	}
	if answer.status == http.StatusInternalServerError {
		h.Log.Error("serving the registry failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	w.Header().Del("Content-Length")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.status)
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	// The reader may have gone, which nobody is left to be told.
	_ = json.NewEncoder(w).Encode(map[string][]item{"errors": {{answer.code, answer.message}}})
}
