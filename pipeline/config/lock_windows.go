package config

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// folderLock is the lock that processes take before they write the lock file.
// Folders can't be locked here, so it is on a file elsewhere that is named after
// the folder, in whichever case it is typed.
func folderLock(dir string) *flock.Flock {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	sum := sha256.Sum256([]byte(strings.ToLower(dir)))
	return flock.New(filepath.Join(os.TempDir(), "dray-"+hex.EncodeToString(sum[:8])+".lock"))
}
