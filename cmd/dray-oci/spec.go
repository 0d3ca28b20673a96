//go:build linux && cgo

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/opencontainers/runc/libcontainer/specconv"
)

// newSpec writes the configuration of an example, a shell, into a bundle that
// has none.
func newSpec(c call) (int, error) {
	spec := specconv.Example()
	if c.has("rootless") {
		specconv.ToRootless(spec)
	}
	data, err := json.MarshalIndent(spec, "", "\t")
	if err != nil {
		return 1, err
	}
	f, err := os.OpenFile(filepath.Join(c.text("bundle"), "config.json"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		return 1, errors.New("File config.json exists. Remove it first") // runc's own text
	}
	if err != nil {
		return 1, err
	}
	if _, err := f.Write(data); err != nil {
		_ = f.Close() // the write's error tells more
		return 1, err
	}
	return 0, f.Close()
}
