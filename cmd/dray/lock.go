package main

import (
	"context"
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"dray/deploy/ssh"
	"dray/pipeline"
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

// sshOptions says how a host is reached.
func (p *project) sshOptions(host pipeline.Host) ssh.Options {
	return ssh.Options{
		Name: host.Name, Address: host.Address, Jump: host.Jump,
		Config: p.app.settings.SSHConfig, Trusted: p.trustedKeys(host.Name),
		Passphrase: p.app.passphrase,
	}
}

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

// secrets finds an environment's secrets: name → version, and version → value.
func (p *project) secrets(ctx context.Context, env string, names []string) (versions, values map[string]string, err error) {
	source := &secret.Source{Project: p.spec.Name, Dir: p.spec.Dir, Environ: p.app.environ()}
	found, err := source.Find(ctx, env, names)
	var missing *secret.MissingError
	if asError(err, &missing) {
		missing.Declared = declaredSecrets(p.spec.Environment(env))
	}
	if err != nil {
		return nil, nil, err
	}
	for _, value := range found {
		p.app.secrets.Add(value)
	}
	versions = secret.Versions(p.spec.Name, found)
	values = map[string]string{}
	for name, version := range versions {
		values[version] = found[name].Reveal()
	}
	return versions, values, nil
}

// declaredSecrets says where the file asks for each secret of an environment.
func declaredSecrets(env *pipeline.Environment) map[string]string {
	out := map[string]string{}
	note := func(of string, secrets []pipeline.Secret) {
		for _, s := range secrets {
			place := of
			if at := s.At.String(); at != "" {
				place += ", " + at
			}
			out[s.Name] = strings.TrimPrefix(out[s.Name]+"; "+place, "; ")
		}
	}
	for _, name := range sortedNames(env.Services) {
		note("service "+name, env.Services[name].Secrets)
	}
	for _, name := range sortedNames(env.Tasks) {
		note("task "+name, env.Tasks[name].Secrets)
	}
	return out
}
