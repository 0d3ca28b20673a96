package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"dray/targets/api"
)

// secretPath is where the value of one version is: named by a digest, so it is
// written once and never changes.
func (a *Agent) secretPath(version string) string {
	return filepath.Join(a.state, "secrets", version)
}

// keepSecrets writes the values that came with a release, readable by root
// only, and checks that every version that the release needs is there.
func (a *Agent) keepSecrets(r *api.Release, values map[string]string) error {
	if len(r.Secrets) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(a.state, "secrets"), 0o700); err != nil {
		return err
	}
	for name, version := range r.Secrets {
		_, err := os.Stat(a.secretPath(version))
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		value, sent := values[version]
		if !sent {
			return api.Errorf(api.CodeBadRequest, "the value of secret %s is not on this host and was not sent", name)
		}
		if err := writeDurably(a.secretPath(version), []byte(value), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// dropSecrets removes the versions that keep does not name.
func (a *Agent) dropSecrets(keep map[string]bool) error {
	dir := filepath.Join(a.state, "secrets")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if !keep[entry.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(dir, entry.Name())))
		}
	}
	return err
}
