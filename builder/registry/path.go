package registry

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// kind of a request's path, as the distribution specification draws them.
type kind int

const (
	kindBase kind = iota
	kindCatalog
	kindTags
	kindManifest
	kindBlob
	kindUploads // POST starts one
	kindUpload  // one that is under way
	kindReferrers
)

// route is a parsed path.
type route struct {
	kind kind
	repo string
	ref  string // tag, digest or upload's id
}

var (
	repoPattern   = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern    = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	uploadPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

var (
	errPath   = errors.New("no such path")
	errName   = errors.New("invalid repository name")
	errDigest = errors.New("invalid digest")
	errTag    = errors.New("invalid tag")
)

// parsePath reads a path that begins with /v2.
func parsePath(path string) (route, error) {
	rest, ok := strings.CutPrefix(path, "/v2")
	if !ok || rest != "" && rest[0] != '/' {
		return route{}, errPath
	}
	switch rest {
	case "", "/":
		return route{kind: kindBase}, nil
	case "/_catalog":
		return route{kind: kindCatalog}, nil
	}
	parts := strings.Split(rest[1:], "/")
	n := len(parts)
	if n >= 4 && parts[n-3] == "blobs" && parts[n-2] == "uploads" {
		return uploadRoute(parts)
	}
	if n < 3 {
		return route{}, errPath
	}
	r := route{repo: strings.Join(parts[:n-2], "/"), ref: parts[n-1]}
	if !validRepo(r.repo) {
		return route{}, errName
	}
	return r, r.classify(parts[n-2])
}

func (r *route) classify(word string) error {
	isDigest := digest.Digest(r.ref).Validate() == nil
	switch {
	case word == "tags" && r.ref == "list":
		r.kind = kindTags
	case word == "manifests":
		r.kind = kindManifest
		if strings.Contains(r.ref, ":") && !isDigest {
			return errDigest
		}
		if !isDigest && !tagPattern.MatchString(r.ref) {
			return errTag
		}
	case word == "blobs" || word == "referrers":
		r.kind = kindBlob
		if word == "referrers" {
			r.kind = kindReferrers
		}
		if !isDigest {
			return errDigest
		}
	default:
		return errPath
	}
	return nil
}

func uploadRoute(parts []string) (route, error) {
	n := len(parts)
	r := route{kind: kindUploads, repo: strings.Join(parts[:n-3], "/"), ref: parts[n-1]}
	if !validRepo(r.repo) {
		return route{}, errName
	}
	if r.ref == "" {
		return r, nil
	}
	if !uploadPattern.MatchString(r.ref) {
		return route{}, errPath
	}
	r.kind = kindUpload
	return r, nil
}

func validRepo(s string) bool { return len(s) <= 255 && repoPattern.MatchString(s) }

// parseRange reads a Range header over content of size bytes (RFC 9110,
// section 14.2). It gives the first and last byte. A header of several ranges,
// or of another unit, is as if there were none: ok is false. An error means
// that nothing of the range is there.
func parseRange(header string, size int64) (first, last int64, ok bool, err error) {
	spec, found := strings.CutPrefix(header, "bytes=")
	from, to, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !found || !dash || strings.Contains(spec, ",") {
		return 0, 0, false, nil
	}
	if from == "" {
		n, okTo := parseNumber(to)
		if !okTo {
			return 0, 0, false, nil
		}
		if n == 0 || size == 0 {
			return 0, 0, false, errRange(header, size)
		}
		return max(0, size-n), size - 1, true, nil
	}
	first, okFrom := parseNumber(from)
	last, okTo := size-1, true
	if to != "" {
		last, okTo = parseNumber(to)
	}
	if !okFrom || !okTo || to != "" && last < first {
		return 0, 0, false, nil
	}
	if first >= size {
		return 0, 0, false, errRange(header, size)
	}
	return first, min(last, size-1), true, nil
}

func errRange(header string, size int64) error {
	return fmt.Errorf("range %.40q is outside of %d bytes", header, size)
}

// parseNumber reads a decimal number without a sign.
func parseNumber(s string) (int64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
