package unpack

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/opencontainers/go-digest"
)

// apply unpacks the layer in r into root and returns its tar's digest.
//
// containerd's applier keeps every path inside root: it resolves links against
// it, cleans names, and refuses whiteouts that lead out. What it does not bound
// is size, which is done here.
func apply(ctx context.Context, root string, r io.Reader, req request, out *reporter) (digest.Digest, error) {
	e := &entries{limit: req.MaxLayer, out: out, explicit: map[string]bool{}, parents: map[string]bool{}}
	opts := []archive.ApplyOpt{archive.WithFilter(e.see)}
	if req.Overlay {
		opts = append(opts, archive.WithConvertWhiteout(func(hdr *tar.Header, name string) (bool, error) {
			return e.whiteout(root, hdr, name)
		}))
	}
	d, err := inflate(ctx, r, req.MaxLayer, out, func(ctx context.Context, tar io.Reader) error {
		_, err := archive.Apply(ctx, root, tar, opts...)
		return err
	})
	if err != nil {
		return "", err
	}
	for _, dir := range e.implicit() {
		if err := out.folder(report{Implicit: dir}); err != nil {
			return "", err
		}
	}
	return d, nil
}

// entries watches a tar's entries go by: it bounds their number, their names
// and the size that they claim, and notes which folders the tar has no entry
// for.
type entries struct {
	limit    int64 // bytes that the layer's files may still claim
	out      *reporter
	explicit map[string]bool
	parents  map[string]bool
	order    []string
	opaque   map[string]bool
}

func (e *entries) see(hdr *tar.Header) (bool, error) {
	// First of all, before anything walks over the names.
	if len(hdr.Name) > maxName || len(hdr.Linkname) > maxName {
		return false, fmt.Errorf("a name of more than %d bytes: %w", maxName, ErrTooLarge)
	}
	if strings.Count(hdr.Name, "/") > maxDepth {
		return false, fmt.Errorf("a file below more than %d folders: %w", maxDepth, ErrTooLarge)
	}
	if hdr.Size < 0 || hdr.Size > e.limit {
		return false, ErrTooLarge
	}
	e.limit -= hdr.Size
	a := Amount{Claimed: hdr.Size, Entries: 1, Names: int64(len(hdr.Name) + len(hdr.Linkname))}
	for key, value := range hdr.PAXRecords { // the applier keeps those of folders until the end
		a.Names += int64(len(key) + len(value))
	}
	if err := e.out.take(a); err != nil {
		return false, err
	}
	dropLabels(hdr)
	name := strings.Trim(path.Clean("/"+hdr.Name), "/")
	if hdr.Typeflag == tar.TypeDir {
		e.explicit[name] = true
	}
	for dir := path.Dir(name); dir != "." && !e.explicit[dir] && !e.parents[dir]; dir = path.Dir(dir) {
		if err := e.out.take(Amount{Entries: 1, Names: int64(len(dir))}); err != nil {
			return false, err
		}
		e.parents[dir] = true
		e.order = append(e.order, dir)
	}
	return true, nil
}

// dropLabels takes away what another host's security modules wrote, such as
// SELinux: it says nothing here, and only an administrator may set it. File
// capabilities stay.
func dropLabels(hdr *tar.Header) {
	const prefix = "SCHILY.xattr.security."
	for key := range hdr.PAXRecords {
		if strings.HasPrefix(key, prefix) && key != prefix+"capability" {
			delete(hdr.PAXRecords, key)
		}
	}
}

// whiteout is containerd's for overlay, but that opaque folders are reported:
// their mark is an attribute that only an administrator may set, and the child
// is none.
func (e *entries) whiteout(root string, hdr *tar.Header, name string) (bool, error) {
	if filepath.Base(name) != ".wh..wh..opq" {
		return archive.OverlayConvertWhiteout(hdr, name)
	}
	dir, err := filepath.Rel(root, filepath.Dir(name))
	if err != nil || e.opaque[dir] {
		return false, err
	}
	if e.opaque == nil {
		e.opaque = map[string]bool{}
	}
	e.opaque[dir] = true
	return false, e.out.folder(report{Opaque: dir})
}

// implicit lists the folders without an entry, parents first.
func (e *entries) implicit() []string {
	var list []string
	for _, dir := range e.order {
		if !e.explicit[dir] {
			list = append(list, dir)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		if d := strings.Count(a, "/") - strings.Count(b, "/"); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return list
}
