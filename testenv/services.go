package testenv

import (
	"context"
	"errors"

	"dray/testenv/inside"
)

// service is other people's software that runs on hosts beside dray, from boot
// on.
type service struct {
	pkg   string // of Debian's
	start inside.Script
	ready string // a shell command that succeeds when it is up
}

// docker is the engine with its defaults, and with any registry of a lab: those
// speak plain HTTP. The package's own start script wants to raise limits, and a
// host has no CAP_SYS_RESOURCE.
var docker = service{
	pkg:   "docker.io",
	start: inside.Script{Name: "S20docker", Text: "#!/bin/sh\nsetsid dockerd --insecure-registry 10.210.0.0/16 >>/var/log/dockerd.log 2>&1 </dev/null &\n"},
	ready: "/usr/bin/docker version",
}

// firewall is ufw. It lets in SSH and, as its default is, nothing else.
var firewall = service{
	pkg:   "ufw",
	start: inside.Script{Name: "S10ufw", Text: "#!/bin/sh\nufw allow 22/tcp && ufw --force enable\n"},
	ready: "ufw status | grep -q 'Status: active'",
}

// services are those that the options ask for.
func (o *Options) services() []service {
	var out []service
	if o.Firewall {
		out = append(out, firewall)
	}
	if o.Docker {
		out = append(out, docker)
	}
	return out
}

// packages are all that hosts get: those of their services too.
func (o *Options) packages() []string {
	names := o.Packages
	for _, s := range o.services() {
		names = append(names[:len(names):len(names)], s.pkg)
	}
	return names
}

// awaitServices returns when all services of the host are up.
func (h *Host) awaitServices(ctx context.Context) error {
	o := Options{Docker: h.lab.state.Docker, Firewall: h.lab.state.Firewall}
	for _, s := range o.services() {
		var last error
		err := until(ctx, s.pkg+" is up on "+h.Name, func() (bool, error) {
			_, last = h.Exec(ctx, "sh", "-c", s.ready)
			return last == nil, nil
		})
		if err != nil {
			return errors.Join(err, last)
		}
	}
	return nil
}
