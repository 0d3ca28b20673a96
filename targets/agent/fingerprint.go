package agent

import (
	"maps"

	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// labelFingerprint holds the fingerprint of what a container was made from: its
// release's ContainerFingerprint.
const labelFingerprint = "dray.fingerprint"

// fingerprints turns the labels of older agents into today's fingerprints. A
// label can't be written anew on a container that runs, and restarting all
// containers of a host because a newer agent names the same thing otherwise is
// no upgrade.
type fingerprints map[string]string

// of returns the fingerprint of what a container was made from.
func (f fingerprints) of(c runtime.Container) string {
	label := c.Spec.Labels[labelFingerprint]
	if now, known := f[label]; known {
		return now
	}
	return label
}

// fingerprints gathers what the kept releases of an environment were labelled
// with. A deployment that goes on using such a container remembers its label
// beyond the release that it came from.
func fingerprintsOf(t *journal.Tx, r *journal.Environment) (fingerprints, error) {
	known := fingerprints{}
	for _, id := range r.Deployments() {
		d, err := t.Deployment(id)
		if err != nil {
			return nil, err
		}
		release, err := t.Release(id)
		if err != nil {
			return nil, err
		}
		if release != nil {
			known.add(release)
		}
		if d != nil {
			maps.Copy(known, d.Labels)
		}
	}
	return known, nil
}

func (f fingerprints) add(r *api.Release) {
	for _, s := range r.Services {
		if older, now := r.OrderedContainerFingerprint(s.Name), r.ContainerFingerprint(s.Name); older != now {
			f[older] = now
		}
	}
}

// older returns the labels of those containers that an older agent labelled.
func (f fingerprints) older(containers map[string]string, all map[string]runtime.Container) map[string]string {
	labels := map[string]string{}
	for _, id := range containers {
		label := all[id].Spec.Labels[labelFingerprint]
		if now, known := f[label]; known {
			labels[label] = now
		}
	}
	return labels
}
