package agent

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"dray/pipeline"
	"dray/targets/api"
)

var validVersion = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9:_-]{7,127}$`)

// validate refuses a request that could not be meant, or whose words would
// leave their place once they are part of a path.
func validate(e *environment, p *api.Prepare) error {
	r := &p.Release
	switch {
	case r.Project != e.project || r.Environment != e.name:
		return api.Errorf(api.CodeBadRequest, "the release is of %s in %s, the call is for %s in %s", r.Environment, r.Project, e.name, e.project)
	case r.Number < 1:
		return api.Errorf(api.CodeBadRequest, "a release's number is 1 or more, not %d", r.Number)
	case r.Revision < 0 || r.Revision > mostRevisions:
		return api.Errorf(api.CodeBadRequest, "a release's revision is 0 to %d, not %d", mostRevisions, r.Revision)
	case !validName.MatchString(p.Deployment):
		return api.Errorf(api.CodeBadRequest, "%q is not the id of a deployment", p.Deployment)
	case p.Host == "":
		return api.Errorf(api.CodeBadRequest, "the request does not say which host of the file this is")
	}
	for i := range r.Services {
		if err := validateService(&r.Services[i], r); err != nil {
			return err
		}
	}
	for _, t := range r.Tasks {
		if !validName.MatchString(t.Name) {
			return api.Errorf(api.CodeBadRequest, "%q is not the name of a task", t.Name)
		}
		if _, err := time.LoadLocation(t.TimeZone); err != nil {
			return api.Errorf(api.CodeBadRequest, "task %s: there is no time zone %q", t.Name, t.TimeZone)
		}
		if t.Schedule != "" && nextRun(&t, time.Now()).IsZero() {
			return api.Errorf(api.CodeBadRequest, "task %s: the schedule %q never comes", t.Name, t.Schedule)
		}
	}
	for _, version := range r.Secrets {
		if !validVersion.MatchString(version) {
			return api.Errorf(api.CodeBadRequest, "%q is not the version of a secret", version)
		}
	}
	return validatePlacement(r, p.Host)
}

func validateService(s *pipeline.Service, r *api.Release) error {
	if !validName.MatchString(s.Name) {
		return api.Errorf(api.CodeBadRequest, "%q is not the name of a service", s.Name)
	}
	for _, port := range s.Ports {
		if port.To < 1 || port.To > 65535 || port.Publish < 0 || port.Publish > 65535 || (port.Protocol != "tcp" && port.Protocol != "udp") {
			return api.Errorf(api.CodeBadRequest, "port %s of service %s: %d → %d/%s is not possible", port.Name, s.Name, port.Publish, port.To, port.Protocol)
		}
		if err := validateReach(port); err != nil {
			return api.Errorf(api.CodeBadRequest, "port %s of service %s: %v", port.Name, s.Name, err)
		}
	}
	for _, v := range s.Volumes {
		if v.Source == "" && !validName.MatchString(v.Name) {
			return api.Errorf(api.CodeBadRequest, "%q is not the name of a volume", v.Name)
		}
		if (v.Source != "" && !filepath.IsAbs(v.Source)) || !filepath.IsAbs(v.Destination) {
			return api.Errorf(api.CodeBadRequest, "volume %s of service %s: the paths are not absolute", v.Name, s.Name)
		}
	}
	for _, secret := range s.Secrets {
		if r.Secrets[secret.Name] == "" {
			return api.Errorf(api.CodeBadRequest, "service %s uses secret %s, of which the release has no version", s.Name, secret.Name)
		}
	}
	return nil
}

func validatePlacement(r *api.Release, host string) error {
	all, err := placedOn(r, host)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, p := range all {
		if seen[p.instance] {
			return api.Errorf(api.CodeBadRequest, "%s is placed twice on %s", p.instance, host)
		}
		seen[p.instance] = true
		if !validDigest(p.image.Digest) {
			return api.Errorf(api.CodeBadRequest, "service %s: %q is not the digest of an image", p.service.Name, p.image.Digest)
		}
	}
	return nil
}

func validDigest(d string) bool {
	text, ok := strings.CutPrefix(d, "sha256:")
	raw, err := hex.DecodeString(text)
	return ok && err == nil && len(raw) == 32
}

// validateReach checks where a port is published, and for whom. Only the kept
// forms are taken: the rules of the host are made of them.
func validateReach(p pipeline.Port) error {
	for _, address := range p.Address {
		if kept, err := pipeline.ParsePortAddress(address); err != nil || kept != address || kept == pipeline.Everywhere {
			return fmt.Errorf("%q is not an address to publish at", address)
		}
	}
	for _, from := range p.From {
		if kept, err := pipeline.ParsePortSource(from); err != nil || kept != from {
			return fmt.Errorf("%q is not a network that may connect", from)
		}
	}
	return nil
}
