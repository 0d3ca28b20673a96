package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"dray/pipeline/durable"
	"dray/targets/api"
)

// secretPath is where the value of one version is: named by a digest, so it is
// written once and never changes.
func (a *Agent) secretPath(version string) string {
	return filepath.Join(a.state, "secrets", version)
}

// keepSecrets writes the values that came with a release, readable by root
// only, and checks that every version that the release needs on this host is there.
func (a *Agent) keepSecrets(r *api.Release, host string, values map[string]string) error {
	if len(r.Secrets) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(a.state, "secrets"), 0o700); err != nil {
		return err
	}
	needed := r.SecretsOn(host)
	for name, version := range r.Secrets {
		_, err := os.Stat(a.secretPath(version))
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		value, sent := values[version]
		if _, ok := needed[name]; !ok && !sent {
			continue // another host's
		}
		if !sent {
			return api.Errorf(api.CodeBadRequest, "the value of secret %s is not on this host and was not sent", name)
		}
		if err := durable.Write(a.secretPath(version), []byte(value), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// secretVersions lists the versions whose values are on this host.
func (a *Agent) secretVersions() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(a.state, "secrets"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var versions []string
	for _, entry := range entries {
		versions = append(versions, entry.Name())
	}
	return versions, err
}
