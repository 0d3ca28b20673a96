package agent

import (
	"errors"
	"fmt"
	"os"

	"dray/pipeline"
	"dray/targets/api"
)

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
