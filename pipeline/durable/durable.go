// Package durable writes files that survive a power cut: what a path leads to
// is the whole old content or the whole new one, and once Write has returned it
// is the new one. Every file that dray replaces goes through here.
//
// Not here: databases (targets/agent), content by its digest (builder/registry,
// targets/store), and the shim's record of an exit, which links nothing that it
// can do without.
package durable

import (
	"fmt"
	"io/fs"
	"path/filepath"
)

// Write makes content the whole of the file at path, with exactly the given
// permissions whatever the umask is. Its folder must exist.
func Write(path string, content []byte, mode fs.FileMode) error {
	err := replace(path, content, mode)
	if err == nil {
		err = SyncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
