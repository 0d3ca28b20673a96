package buildkit

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
)

// annotationAttrs gives annotations as bake writes them,
//
//	[TYPE[PLATFORM],…:]KEY=VALUE
//
// as the exporter takes them. The types are index, index-descriptor, manifest
// and manifest-descriptor; manifest when there is none.
func annotationAttrs(annotations []string) (map[string]string, error) {
	attrs := map[string]string{}
	for _, a := range annotations {
		name, value, ok := strings.Cut(a, "=")
		types, key := []string{exptypes.AnnotationManifest}, name
		if before, after, typed := strings.Cut(name, ":"); typed {
			types, key = strings.Split(before, ","), after
		}
		for _, t := range types {
			attr := "annotation-" + strings.TrimSpace(t) + "." + key
			if _, known, err := exptypes.ParseAnnotationKey(attr); !ok || !known || err != nil {
				return nil, fmt.Errorf("annotation %q is not KEY=VALUE, after index:, index-descriptor:, manifest: or manifest-descriptor: (or several, with commas) where it is for one of them", a)
			}
			attrs[attr] = value
		}
	}
	return attrs, nil
}
