package config

import (
	"fmt"
	"slices"

	"dray/pipeline"
)

// check looks for faults that only show when everything is decoded. Each is
// recorded once, also when several environments share it.
func (l *loader) check(p *pipeline.Project) {
	for _, name := range sortedKeys(p.Services) {
		l.checkService(p.Services[name])
	}
	for _, e := range p.Environments {
		for _, name := range sortedKeys(e.Services) {
			l.checkService(e.Services[name])
		}
		l.checkPublished(e)
		l.checkAddresses(p, e)
	}
	l.checkShared(p)
}

func (l *loader) checkService(s *pipeline.Service) {
	l.checkPorts(s)
	l.checkHealth(s)
	l.checkEnv(s)
	l.checkMounts(s)
	if s.Mode == pipeline.ModeGlobal && l.wasSaid(s, "count") {
		l.fault(l.whereSaid(s, "count", s.At), "Count of a global service", "A service with mode = \"global\" runs once on each host. Drop count, or mode.")
	}
	if s.Mode == pipeline.ModeReplicated && s.Update.Canary > s.Count && s.Count > 0 {
		l.fault(l.place(s.Update.At), "More canaries than instances", "Service %q has count = %d, so canary can't be %d.", s.Name, s.Count, s.Update.Canary)
	}
	if s.Update.Strategy == pipeline.StrategyCanary && s.Update.Canary == 0 {
		l.fault(l.place(s.Update.At), "Canary without a number", "Write canary = 1 beside strategy = \"canary\": how many instances go first.")
	}
}

// checkPorts finds two ports of a service that publish the same one.
func (l *loader) checkPorts(s *pipeline.Service) {
	type published struct {
		port     int
		protocol string
	}
	first := map[published]pipeline.Port{}
	for _, p := range s.Ports {
		key := published{p.Publish, p.Protocol}
		if other, taken := first[key]; taken && p.Publish != 0 {
			l.fault(l.place(p.At), "Port published twice", "Port %q of service %q publishes %d/%s, as port %q does (%s).",
				p.Name, s.Name, p.Publish, p.Protocol, other.Name, other.At)
			continue
		}
		first[key] = p
	}
}

// checkPublished finds two services of an environment that want the same port
// of a host. Every service may come to any host of it.
func (l *loader) checkPublished(e *pipeline.Environment) {
	type owner struct {
		service string
		port    pipeline.Port
	}
	first := map[string]owner{}
	for _, name := range sortedKeys(e.Services) {
		s := e.Services[name]
		if s.Mode == pipeline.ModeReplicated && s.Count == 0 {
			continue
		}
		for _, p := range s.Ports {
			key := fmt.Sprintf("%d/%s", p.Publish, p.Protocol)
			other, taken := first[key]
			switch {
			case p.Publish == 0:
			case !taken:
				first[key] = owner{name, p}
			case other.service != name:
				at, there := later(p.At, other.port.At)
				l.fault(l.place(at), "Port conflict", "Services %q and %q both publish %s in environment %q (%s). Give one another publish.",
					other.service, name, key, e.Name, there)
			}
		}
	}
}

// later orders two places: the one further down comes first.
func later(a, b pipeline.Pos) (further, other pipeline.Pos) {
	if a.File < b.File || a.File == b.File && a.Line < b.Line {
		return b, a
	}
	return a, b
}

func (l *loader) checkHealth(s *pipeline.Service) {
	c := s.Check
	if c == nil || c.Type == "" {
		return
	}
	switch c.Type {
	case pipeline.CheckExec:
		if len(c.Command) == 0 {
			l.fault(l.place(c.At), "Check without a command", `A check of type "exec" needs command = ["…"].`)
		}
	default:
		l.checkHealthPort(s)
	}
	if c.Type == pipeline.CheckHTTP && c.Path == "" {
		c.Path = "/"
	}
	if c.Type != pipeline.CheckHTTP && c.Path != "" && l.wasSaid(c, "path") {
		l.fault(l.whereSaid(c, "path", c.At), "Path of a check that has none", "path belongs to type = \"http\"; this check is of type %q.", c.Type)
	}
}

func (l *loader) checkHealthPort(s *pipeline.Service) {
	c := s.Check
	var names []string
	for _, p := range s.Ports {
		names = append(names, p.Name)
	}
	switch {
	case c.Port == "" && len(names) == 1:
		c.Port = names[0]
	case c.Port == "":
		l.fault(l.place(c.At), "Check without a port", "Write port = \"NAME\": a port block of service %q.", s.Name)
	case !slices.Contains(names, c.Port):
		detail := fmt.Sprintf("Service %q has no port %q.%s", s.Name, c.Port, didYouMean(c.Port, names))
		if len(names) == 0 {
			detail = fmt.Sprintf("Service %q has no port. Write port %q { to = … }.", s.Name, c.Port)
		}
		l.fault(l.whereSaid(c, "port", c.At), "Reference to undeclared port", "%s", detail)
	case c.Type == pipeline.CheckHTTP && s.Port(c.Port).Protocol == "udp":
		l.fault(l.whereSaid(c, "port", c.At), "Check of a UDP port", "HTTP runs over TCP; port %q is protocol = \"udp\".", c.Port)
	case c.Type == pipeline.CheckTCP && s.Port(c.Port).Protocol == "udp":
		l.fault(l.whereSaid(c, "port", c.At), "Check of a UDP port", "A UDP port accepts no connections. Use type = \"exec\".")
	}
}

// checkEnv finds variables that both env and a secret set.
func (l *loader) checkEnv(s *pipeline.Service) {
	first := map[string]string{}
	for _, secret := range s.Secrets {
		if secret.Env == "" {
			continue
		}
		if _, both := s.Env[secret.Env]; both {
			l.fault(l.place(secret.At), "Variable set twice", "Both env and secret %q set %s in service %q. Drop it from env.", secret.Name, secret.Env, s.Name)
		}
		if other, both := first[secret.Env]; both {
			l.fault(l.place(secret.At), "Variable set twice", "Secrets %q and %q both set %s.", other, secret.Name, secret.Env)
		}
		first[secret.Env] = secret.Name
	}
}

// checkMounts finds two things mounted on the same place.
func (l *loader) checkMounts(s *pipeline.Service) {
	first := map[string]string{}
	for _, t := range s.Tmpfs {
		first[t] = "tmpfs"
	}
	for _, v := range s.Volumes {
		if v.Destination == "" {
			continue
		}
		if other, both := first[v.Destination]; both {
			l.fault(l.place(v.At), "Two mounts in one place", "Volume %q and %s both go to %s in service %q.", v.Name, other, v.Destination, s.Name)
			continue
		}
		first[v.Destination] = fmt.Sprintf("volume %q", v.Name)
	}
}

// checkAddresses finds two hosts of an environment that are one machine.
func (l *loader) checkAddresses(p *pipeline.Project, e *pipeline.Environment) {
	first := map[string]string{}
	for _, name := range e.Hosts {
		h := p.Hosts[name]
		if h == nil || h.Address == "" {
			continue
		}
		key := h.Jump + " " + h.Address
		if other, both := first[key]; both {
			l.fault(l.whereSaid(e, "hosts", e.At), "One machine twice", "host.%s and host.%s of environment %q have the same address, %s.", other, name, e.Name, h.Address)
			continue
		}
		first[key] = name
	}
}

// checkShared warns of environments that share a machine and publish the same
// port: whichever is deployed second will be refused.
func (l *loader) checkShared(p *pipeline.Project) {
	for i, a := range p.Environments {
		for _, b := range p.Environments[:i] {
			host := sharedHost(p, a, b)
			if host == "" {
				continue
			}
			if port := sharedPort(a, b); port != "" {
				l.warn(l.place(a.At), "Port shared between environments", "%s and %s both publish %s on host.%s: only one of them can run there.", a.Name, b.Name, port, host)
			}
		}
	}
}

func sharedHost(p *pipeline.Project, a, b *pipeline.Environment) string {
	for _, name := range a.Hosts {
		for _, other := range b.Hosts {
			if h, o := p.Hosts[name], p.Hosts[other]; h != nil && o != nil && h.Address == o.Address && h.Jump == o.Jump {
				return name
			}
		}
	}
	return ""
}

func sharedPort(a, b *pipeline.Environment) string {
	taken := map[string]bool{}
	for _, s := range b.Services {
		for _, p := range s.Ports {
			taken[fmt.Sprintf("%d/%s", p.Publish, p.Protocol)] = p.Publish != 0
		}
	}
	for _, name := range sortedKeys(a.Services) {
		for _, p := range a.Services[name].Ports {
			if key := fmt.Sprintf("%d/%s", p.Publish, p.Protocol); taken[key] {
				return key
			}
		}
	}
	return ""
}
