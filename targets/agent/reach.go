package agent

import (
	"context"
	"crypto/subtle"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"dray/targets/agent/access"
	"dray/targets/agent/journal"
	"dray/targets/api"
)

// mayBring refuses a release that would get a deployer who is no admin more than
// the environment: the host, or another environment's secrets. What the current
// release has, the next may have too: an admin has brought it.
func (a *Agent) mayBring(ctx context.Context, e *environment, p *api.Prepare) error {
	_, role := access.Of(ctx)
	if role.IsAdmin() {
		return nil
	}
	current, versions, err := a.keptBy(e)
	if err != nil {
		return err
	}
	reaches := slices.DeleteFunc(p.Release.HostAccess(), func(what string) bool { return slices.Contains(current.HostAccess(), what) })
	if len(reaches) > 0 {
		return access.Forbidden(role, api.RightAdmin, e.name, "a release that reaches the host for the first time: "+strings.Join(reaches, "; "))
	}
	for name, version := range p.Release.Secrets {
		if versions[version] {
			continue
		}
		if err := a.ownSecret(name, version, p.Secrets); err != nil {
			return err
		}
	}
	return nil
}

// keptBy returns the current release of an environment, and the versions of
// secrets that its kept releases have.
func (a *Agent) keptBy(e *environment) (current *api.Release, versions map[string]bool, err error) {
	current, versions = &api.Release{}, map[string]bool{}
	err = a.journal.View(func(t *journal.Tx) error {
		r, _, err := t.Environment(e.project, e.name)
		if err != nil {
			return err
		}
		for _, id := range slices.Concat([]string{r.Current}, r.Stable) {
			release, err := t.Release(id)
			if err != nil {
				return err
			}
			if release == nil {
				continue
			}
			if id == r.Current {
				current = release
			}
			for _, version := range release.Secrets {
				versions[version] = true
			}
		}
		return nil
	})
	return current, versions, err
}

// ownSecret fails unless the value of a secret that is new to the environment came
// along. The host may have it for another environment: it is neither given away
// to who only knows its version, nor replaced.
func (a *Agent) ownSecret(name, version string, sent map[string]string) error {
	kept, err := os.ReadFile(a.secretPath(version))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	value, came := sent[version]
	if !came || subtle.ConstantTimeCompare(kept, []byte(value)) == 0 {
		return api.Errorf(api.CodeForbidden, "the value of secret %s is new to this environment and did not come with the release", name)
	}
	return nil
}
