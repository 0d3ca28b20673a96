package config

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// check looks for faults that only show when everything is decoded. Each is
// recorded once, also when several environments share it.
func (l *loader) check(p *pipeline.Project) {
	for _, name := range sortedKeys(l.services) {
		l.checkService(l.services[name].resolved())
	}
	for _, name := range sortedKeys(l.tasks) {
		l.checkTask(l.tasks[name].resolved())
	}
	for _, e := range l.environments {
		for _, s := range e.services {
			l.checkService(s)
		}
		for _, t := range e.tasks {
			l.checkTask(t)
		}
		l.checkPublished(e.value)
		l.checkAddresses(p, e)
	}
	l.checkShared(p)
	l.checkTargetNames(p)
}

func (l *loader) checkTask(d *taskDeclaration) {
	t := d.value
	l.checkWorkload(workload{what: fmt.Sprintf("task %q", t.Name), declaration: d.declaration, at: t.At,
		entrypoint: t.Entrypoint, command: t.Command, env: t.Env, secrets: t.Secrets, volumes: t.Volumes})
	if t.Entrypoint == nil && d.set("command") && len(t.Command) == 0 {
		l.fault(d.rangeOf("command", l.rangeAt(t.At)), "Empty command", `Write the program and its arguments: command = ["bin/migrate"].`)
	}
}

func (l *loader) checkService(d *serviceDeclaration) {
	s := d.value
	l.checkPorts(s)
	l.checkHealth(d)
	l.checkWorkload(workload{what: fmt.Sprintf("service %q", s.Name), declaration: d.declaration, at: s.At,
		entrypoint: s.Entrypoint, command: s.Command, env: s.Env, secrets: s.Secrets, volumes: s.Volumes, tmpfs: s.Tmpfs})
	if s.Mode == pipeline.ModeGlobal && d.set("count") {
		l.fault(d.rangeOf("count", l.rangeAt(s.At)), "Count of a global service", "A service with mode = \"global\" runs once on each host. Drop count, or mode.")
	}
	if s.Mode == pipeline.ModeReplicated && s.Update.Canary > s.Count && s.Count > 0 {
		l.fault(l.rangeAt(s.Update.At), "More canaries than instances", "Service %q has count = %d, so canary can't be %d.", s.Name, s.Count, s.Update.Canary)
	}
	if s.Update.Strategy == pipeline.StrategyCanary && s.Update.Canary == 0 {
		l.fault(l.rangeAt(s.Update.At), "Canary without a number", "Write canary = 1 beside strategy = \"canary\": how many instances go first.")
	}
}

// checkPorts finds two ports of a service that publish the same one.
func (l *loader) checkPorts(s *pipeline.Service) {
	for i, p := range s.Ports {
		if first := slices.IndexFunc(s.Ports[:i], p.Overlaps); first >= 0 {
			l.fault(l.rangeAt(p.At), "Port published twice", "Port %q of service %q publishes %s, as port %q does (%s).",
				p.Name, s.Name, p.Published(), s.Ports[first].Name, s.Ports[first].At)
		}
	}
}

// checkPublished finds two services of an environment that want the same port
// of a host. Every service may come to any host of it.
func (l *loader) checkPublished(e *pipeline.Environment) {
	type owner struct {
		service string
		port    pipeline.Port
	}
	var all []owner
	for _, name := range sortedKeys(e.Services) {
		s := e.Services[name]
		if s.Mode == pipeline.ModeReplicated && s.Count == 0 {
			continue
		}
		for _, p := range s.Ports {
			first := slices.IndexFunc(all, func(o owner) bool { return o.port.Overlaps(p) })
			if first < 0 {
				all = append(all, owner{name, p})
			} else if other := all[first]; other.service != name {
				at, there := later(p.At, other.port.At)
				l.fault(l.rangeAt(at), "Port conflict", "Services %q and %q both publish %s in environment %q (%s). Give one another publish, or another address.",
					other.service, name, p.Published(), e.Name, there)
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

func (l *loader) checkHealth(d *serviceDeclaration) {
	c := d.value.Check
	if c == nil || c.Type == "" {
		return
	}
	if c.RestartAfter > 0 && d.value.Restart.Policy == pipeline.RestartNever {
		l.fault(d.rangeOf("check.restart_after", l.rangeAt(c.At)), "Restart of what is never restarted", "restart { policy = \"never\" } leaves service %q ended. Drop restart_after, or the policy.", d.value.Name)
	}
	switch c.Type {
	case pipeline.CheckNone:
	case pipeline.CheckExec:
		if len(c.Command) == 0 {
			l.fault(l.rangeAt(c.At), "Check without a command", `A check of type "exec" needs command = ["…"].`)
		}
	default:
		l.checkHealthPort(d)
	}
	if c.Type != pipeline.CheckHTTP && c.Path != "" && d.set("check.path") {
		l.fault(d.rangeOf("check.path", l.rangeAt(c.At)), "Path of a check that has none", "path belongs to type = \"http\"; this check is of type %q.", c.Type)
	}
}

func (l *loader) checkHealthPort(d *serviceDeclaration) {
	s, c := d.value, d.value.Check
	at := d.rangeOf("check.port", l.rangeAt(c.At))
	var names []string
	for _, p := range s.Ports {
		names = append(names, p.Name)
	}
	switch {
	case c.Port == "":
		l.fault(l.rangeAt(c.At), "Check without a port", "Write port = \"NAME\": a port block of service %q.", s.Name)
	case !slices.Contains(names, c.Port):
		detail := fmt.Sprintf("Service %q has no port %q.%s", s.Name, c.Port, phrase.DidYouMean(c.Port, names))
		if len(names) == 0 {
			detail = fmt.Sprintf("Service %q has no port. Write port %q { to = … }.", s.Name, c.Port)
		}
		l.fault(at, "Reference to undeclared port", "%s", detail)
	case c.Type == pipeline.CheckHTTP && s.Port(c.Port).Protocol == "udp":
		l.fault(at, "Check of a UDP port", "HTTP runs over TCP; port %q is protocol = \"udp\".", c.Port)
	case c.Type == pipeline.CheckTCP && s.Port(c.Port).Protocol == "udp":
		l.fault(at, "Check of a UDP port", "A UDP port accepts no connections. Use type = \"exec\".")
	}
}

// workload is what a service and a task have in common.
type workload struct {
	what string // `service "web"`
	declaration
	at         pipeline.Pos
	entrypoint []string
	command    []string
	env        map[string]string
	secrets    []pipeline.Secret
	volumes    []pipeline.Volume
	tmpfs      []string
}

func (l *loader) checkWorkload(w workload) {
	l.checkEnv(w)
	l.checkMounts(w)
	if w.entrypoint != nil && len(w.entrypoint)+len(w.command) == 0 {
		l.fault(w.rangeOf("entrypoint", l.rangeAt(w.at)), "Nothing to run",
			"entrypoint = [] takes the image's entrypoint and command away, so %s needs command = […].", w.what)
	}
}

// checkEnv finds variables that both env and a secret set.
func (l *loader) checkEnv(w workload) {
	first := map[string]string{}
	for _, secret := range w.secrets {
		if secret.Env == "" {
			continue
		}
		if _, both := w.env[secret.Env]; both {
			l.fault(l.rangeAt(secret.At), "Variable set twice", "Both env and secret %q set %s in %s. Drop it from env.", secret.Name, secret.Env, w.what)
		}
		if other, both := first[secret.Env]; both {
			l.fault(l.rangeAt(secret.At), "Variable set twice", "Secrets %q and %q both set %s.", other, secret.Name, secret.Env)
		}
		first[secret.Env] = secret.Name
	}
}

// checkMounts finds two things mounted on the same place.
func (l *loader) checkMounts(w workload) {
	first := map[string]string{}
	for _, t := range w.tmpfs {
		where, _, _ := strings.Cut(t, ":")
		first[path.Clean(where)] = "tmpfs"
	}
	mount := func(what, destination string, at pipeline.Pos) {
		if destination == "" {
			return // a fault of its own, or a variable
		}
		destination = path.Clean(destination)
		if other, both := first[destination]; both {
			l.fault(l.rangeAt(at), "Two mounts in one place", "%s and %s both go to %s in %s.", phrase.Capital(what), other, destination, w.what)
			return
		}
		first[destination] = what
	}
	for _, v := range w.volumes {
		mount(fmt.Sprintf("volume %q", v.Name), v.Destination, v.At)
	}
	for _, s := range w.secrets {
		mount(fmt.Sprintf("secret %q", s.Name), s.File, s.At)
	}
}

// checkAddresses finds two hosts of an environment that are one machine.
func (l *loader) checkAddresses(p *pipeline.Project, d *environmentDeclaration) {
	e := d.value
	first := map[string]string{}
	for _, name := range e.Hosts {
		h := p.Hosts[name]
		if h == nil || h.Address == "" {
			continue
		}
		key := h.Jump + " " + h.Address
		if other, both := first[key]; both {
			l.fault(d.rangeOf("hosts", l.rangeAt(e.At)), "One machine twice", "host.%s and host.%s of environment %q have the same address, %s.", other, name, e.Name, h.Address)
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
				l.warn(l.rangeAt(a.At), "Port shared between environments", "%s and %s both publish %s on host.%s: only one of them can run there.", a.Name, b.Name, port, host)
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
	var taken []pipeline.Port
	for _, s := range b.Services {
		taken = append(taken, s.Ports...)
	}
	for _, name := range sortedKeys(a.Services) {
		for _, p := range a.Services[name].Ports {
			if slices.ContainsFunc(taken, p.Overlaps) {
				return p.Published()
			}
		}
	}
	return ""
}
