package assembly

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"dray/targets/agent"
)

// volumes are folders: ROOT/NETWORK/NAME.
type volumes struct{ root string }

var _ agent.Volumes = volumes{}

// Ensure implements agent.Volumes.
func (v volumes) Ensure(_ context.Context, network, name string) (string, error) {
	path := filepath.Join(v.root, network, name)
	return path, os.MkdirAll(path, 0o755)
}

// List implements agent.Volumes.
func (v volumes) List(network string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(v.root, network))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, err
}

// Remove implements agent.Volumes.
func (v volumes) Remove(_ context.Context, network, name string) error {
	return os.RemoveAll(filepath.Join(v.root, network, name))
}
