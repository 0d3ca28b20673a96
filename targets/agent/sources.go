package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"dray/pipeline"
	"dray/targets/api"
	"dray/targets/runtime/confine"
)

// checkConfinement refuses a release that asks for a confinement which this host
// does not have: a container without it would run less confined than the file
// says.
func checkConfinement(ctx context.Context, r *api.Release, host string, all []placed) error {
	for _, p := range all {
		if err := missingConfinement(ctx, "service "+p.service.Name, p.service.Security); err != nil {
			err.Instance, err.Service = p.instance, p.service.Name
			return err
		}
	}
	for _, t := range r.Tasks {
		if !runsTasks(r, host, t.Name) {
			continue
		}
		if err := missingConfinement(ctx, "task "+t.Name, t.Security); err != nil {
			err.Task = t.Name
			return err
		}
	}
	return nil
}

// versionTime is what an OCI runtime may take to say its version.
const versionTime = 10 * time.Second

func missingConfinement(ctx context.Context, what string, s pipeline.Security) *api.Error {
	if s.Runtime != "" {
		ctx, cancel := context.WithTimeout(ctx, versionTime)
		defer cancel()
		if out, err := exec.CommandContext(ctx, s.Runtime, "--version").CombinedOutput(); err != nil {
			fault := api.Errorf(api.CodeSource, "%s asks for the OCI runtime %s, which does not work on this host: %v", what, s.Runtime, err)
			fault.Detail = strings.TrimSpace(string(out))
			return fault
		}
	}
	facts := confine.Probe()
	if s.AppArmor == "" || s.AppArmor == pipeline.ProfileUnconfined {
		return nil
	}
	if facts.AppArmor != confine.Enforced {
		return api.Errorf(api.CodeSource, "%s asks for the AppArmor profile %q, and AppArmor is %s on this host", what, s.AppArmor, facts.AppArmor)
	}
	if has, err := confine.HasProfile(s.AppArmor); err != nil {
		return api.Errorf(api.CodeSource, "%s asks for the AppArmor profile %q: %v", what, s.AppArmor, err)
	} else if !has {
		return api.Errorf(api.CodeSource, "%s asks for the AppArmor profile %q, which is not loaded on this host; apparmor_parser -r loads it from its file", what, s.AppArmor)
	}
	return nil
}

// checkSources refuses a release whose bind mounts name what this host does not
// have: its containers could not be started, neither now nor after a reboot.
// Nothing is made in its place: a folder that dray makes where a disk should be
// mounted takes what belongs on the disk.
func checkSources(r *api.Release, host string, all []placed) error {
	for _, p := range all {
		if err := missingSource("service "+p.service.Name, p.service.Volumes); err != nil {
			err.Instance, err.Service = p.instance, p.service.Name
			return err
		}
	}
	for _, t := range r.Tasks {
		if !runsTasks(r, host, t.Name) {
			continue
		}
		if err := missingSource("task "+t.Name, t.Volumes); err != nil {
			err.Task = t.Name
			return err
		}
	}
	return nil
}

func missingSource(what string, volumes []pipeline.Volume) *api.Error {
	for _, v := range volumes {
		if v.Source == "" {
			continue
		}
		if _, err := os.Stat(v.Source); errors.Is(err, os.ErrNotExist) {
			fault := api.Errorf(api.CodeSource, "volume %q of %s binds %s, which does not exist on this host", v.Name, what, v.Source)
			fault.Volume = v.Name
			fault.Detail = fmt.Sprintf("a volume with a source is a folder or a file of the host; mkdir -p %s makes an empty folder", v.Source)
			return fault
		} else if err != nil {
			fault := api.Errorf(api.CodeSource, "volume %q of %s can't bind %s: %v", v.Name, what, v.Source, err)
			fault.Volume = v.Name
			return fault
		}
	}
	return nil
}
