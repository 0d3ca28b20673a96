package mirror

import (
	"context"
	"fmt"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// standIn is an image that can be made here.
type standIn struct {
	repo, tag string
	key       func() (string, error) // changes when what it would be made of does
	// make makes it, in a folder for temporary files that lives as long as the
	// image has not been kept.
	make func(ctx context.Context, dir string) (v1.Image, error)
}

var standIns = []standIn{
	{"library/busybox", "latest", busyboxKey, makeBusybox},
	{"library/golang", "1.26", golangKey, makeGolang},
	{"library/debian", "bookworm-slim", debianKey, makeDebian},
}

// form is raised when the way that images are made changes.
const form = "2"

// epoch is every file's time: images are the same whenever they are made.
var epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// searchPath is the PATH of every stand-in.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// imageOf makes an image of layers and a configuration. OCI types throughout.
func imageOf(config v1.Config, layers ...*layer) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range layers {
		var err error
		base, err = mutate.Append(base, mutate.Addendum{
			Layer: l, MediaType: types.OCILayer,
			History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "dray testenv/mirror"},
		})
		if err != nil {
			return nil, fmt.Errorf("adding a layer: %w", err)
		}
	}
	file, err := base.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Created = v1.Time{Time: epoch}
	file.Config = config
	return mutate.ConfigFile(base, file)
}
