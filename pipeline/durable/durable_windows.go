package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

func replace(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already after the rename
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Chmod(f.Name(), mode), os.Rename(f.Name(), path))
}

// SyncFolder does nothing: a folder can't be opened for writing here, and NTFS
// journals a rename.
func SyncFolder(string) error { return nil }
