package engineapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/common"

	"dray/targets/runtime"
	"dray/targets/volume"
)

// statusError is an error with the Engine API's status code for it.
type statusError struct {
	status int
	text   string
}

// Error returns the message.
func (e *statusError) Error() string { return e.text }

func fault(status int, format string, args ...any) error {
	return &statusError{status, fmt.Sprintf(format, args...)}
}

// statusOf returns the status code of any error.
func statusOf(err error) int {
	var coded *statusError
	switch {
	case errors.As(err, &coded):
		return coded.status
	case errors.Is(err, runtime.ErrNotFound), errors.Is(err, volume.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, runtime.ErrExists), errors.Is(err, runtime.ErrState), errors.Is(err, volume.ErrInUse):
		return http.StatusConflict
	case errors.Is(err, volume.ErrName):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// respondError answers with an error, in the Engine API's form.
func respondError(w http.ResponseWriter, err error) {
	if errors.Is(err, context.Canceled) {
		return // nobody listens any more
	}
	respond(w, statusOf(err), common.ErrorResponse{Message: err.Error()})
}

// respond answers with a value as JSON. A client that has gone is no error.
func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func ok(w http.ResponseWriter, v any) error {
	respond(w, http.StatusOK, v)
	return nil
}

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 4 << 20

// read decodes a request's body. An empty one leaves v as it is.
func read(r *http.Request, v any) error {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		return fault(http.StatusBadRequest, "reading the request: %v", err)
	}
	if len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fault(http.StatusBadRequest, "the request is not what it should be: %v", err)
	}
	return nil
}

// flag reads a boolean of the query as the Engine does: everything is true but
// "", 0, no, false and none.
func flag(r *http.Request, name string) bool {
	switch strings.ToLower(strings.TrimSpace(r.FormValue(name))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// number reads a whole number of the query, or returns otherwise where it is
// left out.
func number(r *http.Request, name string, otherwise int) (int, error) {
	text := r.FormValue(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fault(http.StatusBadRequest, "%s: %q is not a number", name, text)
	}
	return n, nil
}

// moment reads a time of the query: seconds since 1970, with a fraction or
// without, or RFC 3339. The zero time is one that was left out.
func moment(r *http.Request, name string) (time.Time, error) {
	t, err := parseMoment(r.FormValue(name))
	if err != nil {
		return t, fault(http.StatusBadRequest, "%s: %v", name, err)
	}
	return t, nil
}

func parseMoment(text string) (time.Time, error) {
	if text == "" || text == "0" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 {
		return time.Time{}, fmt.Errorf("%q is not a time", text)
	}
	nanos := uint64(0)
	if fraction != "" {
		nanos, err = strconv.ParseUint((fraction + "000000000")[:9], 10, 64)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time", text)
	}
	return time.Unix(seconds, int64(nanos)), nil
}

// container finds the container that the path names.
func (a *API) container(r *http.Request) (runtime.Container, error) {
	id := r.PathValue("id")
	c, err := a.Engine.Get(id)
	if errors.Is(err, runtime.ErrNotFound) {
		return c, fault(http.StatusNotFound, "No such container: %s", id)
	}
	return c, err
}
