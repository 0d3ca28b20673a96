package buildkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/plugins/content/local"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder"
)

const layoutScheme = "oci-layout://"

// layoutContext makes an image in a folder (OCI image layout) available by
// name: oci-layout://FOLDER, with :TAG or @DIGEST where it has several.
func (s *source) layoutContext(req builder.Request, name, where string) error {
	folder, exact, isExact := strings.Cut(strings.TrimPrefix(where, layoutScheme), "@")
	tag := ""
	if i := strings.LastIndexByte(folder, ':'); !isExact && i > strings.LastIndexByte(folder, '/') {
		folder, tag = folder[:i], folder[i+1:]
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(req.Dir, folder)
	}
	d := digest.Digest(exact)
	var err error
	if !isExact {
		d, err = layoutImage(folder, tag)
	}
	if err == nil {
		err = d.Validate()
	}
	if err != nil {
		return &builder.Failure{
			Target: req.Target.Name, At: req.Target.At, Err: err, Reason: fmt.Sprintf("context %s: no image at %s: %v", name, where, err),
			Next: "write oci-layout://FOLDER:TAG or oci-layout://FOLDER@DIGEST in contexts of that target",
		}
	}
	store, err := local.NewStore(folder)
	if err != nil {
		return fmt.Errorf("opening the image layout in %s: %w", folder, err)
	}
	id := "dray-layout-" + name
	s.stores[id] = store
	s.attrs["context:"+name] = layoutScheme + id + "@" + d.String()
	return nil
}

// layoutImage finds an image by its tag; without one, the only image or the
// latest.
func layoutImage(folder, tag string) (digest.Digest, error) {
	b, err := os.ReadFile(filepath.Join(folder, ocispec.ImageIndexFile))
	if err != nil {
		return "", err
	}
	var index ocispec.Index
	if err := json.Unmarshal(b, &index); err != nil {
		return "", fmt.Errorf("reading its index: %w", err)
	}
	if tag == "" && len(index.Manifests) == 1 {
		return index.Manifests[0].Digest, nil
	}
	for _, m := range index.Manifests {
		name := m.Annotations[ocispec.AnnotationRefName]
		if name == tag || tag == "" && name == "latest" {
			return m.Digest, nil
		}
	}
	if tag == "" {
		return "", errors.New("it has several images, and none is tagged latest")
	}
	return "", fmt.Errorf("none is tagged %s", tag)
}
