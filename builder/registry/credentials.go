package registry

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/docker/cli/cli/config"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// What stands in place of a user's name where there is none: the password is
// then a token. The first is the docker credential helpers' own.
const (
	identityTokenUser = "<token>"
	registryTokenUser = "<registrytoken>"
)

// Credentials finds who asks for a repository, as RemoteOptions takes it.
// Both are empty where nobody has logged in.
func Credentials(ctx context.Context, keychain authn.Keychain, repository string) (username, password string, err error) {
	repo, err := name.NewRepository(repository)
	if err != nil {
		return "", "", fmt.Errorf("reading the repository %q: %w", repository, err)
	}
	auth, err := resolveAuth(ctx, keychain, repo)
	if err != nil {
		return "", "", err
	}
	c, err := authn.Authorization(ctx, auth)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("finding credentials for %s: %w", repo.RegistryStr(), err)
	case c.RegistryToken != "":
		return registryTokenUser, c.RegistryToken, nil
	case c.IdentityToken != "":
		return identityTokenUser, c.IdentityToken, nil
	}
	return c.Username, c.Password, nil
}

func (o RemoteOptions) authenticator(ctx context.Context, repo name.Repository) (authn.Authenticator, error) {
	switch {
	case o.Username == identityTokenUser:
		return authn.FromConfig(authn.AuthConfig{IdentityToken: o.Password}), nil
	case o.Username == registryTokenUser:
		return authn.FromConfig(authn.AuthConfig{RegistryToken: o.Password}), nil
	case o.Username != "" || o.Password != "":
		return authn.FromConfig(authn.AuthConfig{Username: o.Username, Password: o.Password}), nil
	case o.Keychain == nil:
		return authn.Anonymous, nil
	}
	return resolveAuth(ctx, o.Keychain, repo)
}

// resolveAuth asks a keychain, which may run a credential helper.
func resolveAuth(ctx context.Context, keychain authn.Keychain, repo name.Repository) (authn.Authenticator, error) {
	auth, err := authn.Resolve(ctx, keychain, repo)
	if err == nil {
		return auth, nil
	}
	if missing := missingHelper(err); missing != nil {
		err = missing
	}
	return nil, fmt.Errorf("finding credentials for %s: %w", repo.RegistryStr(), err)
}

// A helper that is not installed shows in the text of the error alone.
var notInstalled = regexp.MustCompile(`exec: "docker-credential-([^"]+)": executable file not found`)

// HelperError is a credential helper that a configuration names and that is
// not installed.
type HelperError struct {
	Helper string // its program
	File   string // that names it; empty when it is not known
	Line   int    // from 1; 0 when it is not known
	err    error
}

func (e *HelperError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("the credential helper %s is not installed", e.Helper)
	}
	return fmt.Sprintf("%s:%d names the credential helper %s, which is not installed: install it, or drop that line", e.File, e.Line, e.Helper)
}

func (e *HelperError) Unwrap() error { return e.err }

func missingHelper(err error) error {
	found := notInstalled.FindStringSubmatch(err.Error())
	if found == nil {
		return nil
	}
	e := &HelperError{Helper: "docker-credential-" + found[1], err: err}
	names := regexp.MustCompile(`"[^"]+"\s*:\s*"` + regexp.QuoteMeta(found[1]) + `"`)
	for _, path := range credentialFiles() {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // not every one of them exists
		}
		if at := names.FindIndex(b); at != nil {
			e.File, e.Line = path, bytes.Count(b[:at[0]], []byte("\n"))+1
			return e
		}
	}
	return e
}

// credentialFiles are where docker and podman keep logins.
func credentialFiles() []string {
	home, _ := os.UserHomeDir() // without one there is no file in it
	return []string{
		filepath.Join(config.Dir(), config.ConfigFileName),
		os.Getenv("REGISTRY_AUTH_FILE"),
		filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "containers/auth.json"),
		filepath.Join(cmp.Or(os.Getenv("XDG_CONFIG_HOME"), filepath.Join(home, ".config")), "containers/auth.json"),
	}
}
