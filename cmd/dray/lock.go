package main

import (
	"context"

	gossh "golang.org/x/crypto/ssh"

	"dray/deploy/ssh"
	"dray/pipeline/config"
	"dray/pipeline/secret"
)

// readLock reads dray.lock.hcl, which lies beside the project's file.
func (a *app) readLock(dir string) (*config.Lock, error) {
	lock, diags := config.ReadLock(dir)
	if len(diags) > 0 {
		a.showDiagnostics(diags)
	}
	if lock == nil {
		return nil, &exitError{code: exitFailed}
	}
	return lock, nil
}

// pins are the digests that base images are held to.
func (p *project) pins() map[string]string { return p.lock.Bases() }

// trustedKeys is the key that somebody confirmed for a host, if any; without
// one, known_hosts decides.
func (p *project) trustedKeys(name string) []gossh.PublicKey {
	text := p.lock.HostKey(name)
	if text == "" {
		return nil
	}
	key, err := ssh.ParseHostKey(text)
	if err != nil {
		return nil // the lock file was read: its keys are sound
	}
	return []gossh.PublicKey{key}
}

// secretValues finds the values of a release's secrets, where their versions
// are still the same. A host that has a value already needs none.
func (p *project) secretValues(ctx context.Context, env string, wanted map[string]string) (map[string]string, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	versions, values, err := p.secrets(ctx, env, sortedNames(wanted))
	if err != nil {
		return nil, err
	}
	for name, version := range versions {
		if wanted[name] != version {
			delete(values, version)
		}
	}
	return values, nil
}

// secrets finds an environment's secrets: name → version, and version → value.
func (p *project) secrets(ctx context.Context, env string, names []string) (versions, values map[string]string, err error) {
	source := &secret.Source{Project: p.project.Name, Dir: p.project.Dir, Environ: p.app.environ()}
	found, err := source.Find(ctx, env, names)
	if err != nil {
		return nil, nil, err
	}
	versions = secret.Versions(p.project.Name, found)
	values = map[string]string{}
	for name, version := range versions {
		values[version] = found[name].Reveal()
	}
	return versions, values, nil
}
