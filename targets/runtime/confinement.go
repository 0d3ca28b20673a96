package runtime

import (
	"context"
	"fmt"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"dray/pipeline"
	"dray/targets/runtime/confine"
)

// confinement is what a container's process is confined by, beside namespaces,
// capabilities and system calls, on this host.
type confinement struct {
	apparmor string // profile; "" is none
	labels   confine.Labels
}

// confinementOf settles what confines a container of spec. A profile that the
// Spec names and the host does not have is an error, and no container without
// one.
func (e *Engine) confinementOf(ctx context.Context, spec Spec) (confinement, error) {
	c := confinement{}
	var err error
	if c.apparmor, err = e.appArmorOf(ctx, spec.Security.AppArmor); err != nil {
		return c, err
	}
	c.labels, err = confine.NewLabels()
	return c, err
}

func (e *Engine) appArmorOf(ctx context.Context, asked string) (string, error) {
	facts := e.Confine()
	switch {
	case asked == pipeline.ProfileUnconfined && facts.AppArmor == confine.Enforced:
		return asked, nil
	case asked == pipeline.ProfileUnconfined:
		return "", nil
	case asked == "" || asked == pipeline.ProfileDefault:
		if facts.AppArmor != confine.Enforced {
			return "", nil
		}
		return confine.DefaultProfile, e.LoadProfile(ctx)
	case facts.AppArmor != confine.Enforced:
		return "", fmt.Errorf("the AppArmor profile %q can't be set: AppArmor is %s", asked, facts.AppArmor)
	}
	return asked, nil // libcontainer names one that is not there
}

// relabel gives what is bound from the host to the container, where SELinux is
// on: it may touch nothing otherwise.
func (b blueprint) relabel() error {
	mount := b.confined.labels.Mount
	if mount == "" {
		return nil
	}
	for _, m := range b.spec.Mounts {
		var err error
		switch m.Relabel {
		case RelabelVolume:
			err = confine.RelabelOnce(m.Source, mount)
		case RelabelShared:
			err = confine.Relabel(m.Source, mount, true)
		case RelabelPrivate:
			err = confine.Relabel(m.Source, mount, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reserveLabel notes the SELinux label of a container that an earlier agent
// started, so that no other one gets its categories.
func (e *Engine) reserveLabel(id string) {
	var spec specs.Spec
	err := readJSON(filepath.Join(e.runDir(id), "config.json"), &spec)
	if err == nil && spec.Process != nil {
		confine.Reserve(spec.Process.SelinuxLabel)
	}
}

// releaseLabel gives the categories of a container back that has no process any
// more.
func (e *Engine) releaseLabel(id string) {
	var spec specs.Spec
	err := readJSON(filepath.Join(e.runDir(id), "config.json"), &spec)
	if err == nil && spec.Process != nil {
		confine.Release(spec.Process.SelinuxLabel)
	}
}
