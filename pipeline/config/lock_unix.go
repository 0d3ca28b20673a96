//go:build !windows

package config

import (
	"os"

	"github.com/gofrs/flock"
)

// folderLock is the lock that processes take before they write the lock file.
// It is on the folder: the file itself is replaced, and a file for the lock
// alone would lie about in the checkout.
func folderLock(dir string) *flock.Flock { return flock.New(dir, flock.SetFlag(os.O_RDONLY)) }
