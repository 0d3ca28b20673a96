package buildkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// FindRuntime returns the OCI runtime for RUN steps: the given one, or
// dray-oci beside this program, or dray-oci or runc in PATH.
func FindRuntime(given string) (string, error) {
	if given != "" {
		path, err := exec.LookPath(given)
		if err != nil {
			return "", fmt.Errorf("finding the OCI runtime: %w", err)
		}
		return filepath.Abs(path)
	}
	candidates := []string{"dray-oci", "runc"}
	if self, err := os.Executable(); err == nil {
		candidates = append([]string{filepath.Join(filepath.Dir(self), "dray-oci")}, candidates...)
	}
	for _, c := range candidates {
		if path, err := exec.LookPath(c); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no OCI runtime for RUN steps: dray-oci is neither beside dray nor in PATH")
}
