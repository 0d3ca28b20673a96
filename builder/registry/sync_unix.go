//go:build !windows

package registry

import (
	"errors"
	"os"
)

// syncDir makes a rename within dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
