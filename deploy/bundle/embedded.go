//go:build bundled

package bundle

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// dist holds linux-ARCH.json and linux-ARCH.tar.gz, made by cmd/mkbundle
// before dray is built with -tags bundled.
//
//go:embed dist
var dist embed.FS

func embeddedBundle(arch string) (*Bundle, error) {
	text, err := dist.ReadFile("dist/linux-" + arch + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("reading the embedded bundle: %w", err)
	}
	return r.Bundle(func() (io.ReadCloser, error) {
		f, err := dist.Open("dist/linux-" + arch + ".tar.gz")
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{f, f}, nil
	}), nil
}
