package config

import (
	"maps"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"

	"dray/pipeline"
)

// unset marks a duration whose default depends on other arguments.
const unset = pipeline.Duration(-1)

// declaration is what is known of a service, a task or an environment beyond its
// value.
type declaration struct {
	ranges map[string]hcl.Range // where arguments were set that later checks are about, such as "check.path"
	only   []string             // the environments that it is limited to; nil is no limit
	off    map[string]bool      // blocks that are not enabled, such as `port "http"`
}

func newDeclaration() declaration {
	return declaration{ranges: map[string]hcl.Range{}, off: map[string]bool{}}
}

func (d declaration) clone() declaration {
	return declaration{ranges: maps.Clone(d.ranges), only: d.only, off: maps.Clone(d.off)}
}

// runsIn reports whether environment env has it.
func (d declaration) runsIn(env string) bool { return d.only == nil || slices.Contains(d.only, env) }

// rangeOf returns where an argument was set, or otherwise.
func (d declaration) rangeOf(argument string, otherwise hcl.Range) hcl.Range {
	if rng, ok := d.ranges[argument]; ok {
		return rng
	}
	return otherwise
}

func (d declaration) set(argument string) bool {
	_, ok := d.ranges[argument]
	return ok
}

// note keeps where the block sets arguments; prefix is that of nested blocks.
func (b *block) note(d declaration, prefix string, arguments ...string) {
	for _, a := range arguments {
		if b.has(a) {
			d.ranges[prefix+a] = b.rangeOf(a)
		}
	}
}

// enabled reads enabled = false, which takes a block away: its own, or one that
// an environment's change finds there.
func (b *block) enabled(d declaration) bool {
	enabled := !d.off[b.what]
	b.boolean("enabled", &enabled)
	d.off[b.what] = !enabled
	return enabled
}

// serviceDeclaration is a service with all its blocks, those included that are
// not enabled.
type serviceDeclaration struct {
	declaration
	value *pipeline.Service
}

func (d *serviceDeclaration) clone() *serviceDeclaration {
	return &serviceDeclaration{declaration: d.declaration.clone(), value: cloneService(d.value)}
}

// resolved returns the service as it runs: with what is enabled, and with
// defaults that depend on other arguments.
func (d *serviceDeclaration) resolved() *serviceDeclaration {
	out := d.clone()
	s := out.value
	s.Ports = enabledOf(d.declaration, "port", s.Ports, portName)
	s.Volumes = enabledOf(d.declaration, "volume", s.Volumes, volumeName)
	s.Secrets = enabledOf(d.declaration, "secret", s.Secrets, secretName)
	if d.off["check"] {
		s.Check = nil
	}
	if c := s.Check; c != nil {
		if c.Port == "" && len(s.Ports) == 1 && (c.Type == pipeline.CheckHTTP || c.Type == pipeline.CheckTCP) {
			c.Port = s.Ports[0].Name
		}
		if c.Path == "" && c.Type == pipeline.CheckHTTP {
			c.Path = "/"
		}
	}
	if s.Update.MinHealthyTime == unset {
		s.Update.MinHealthyTime = min(defaultHealthyUnchecked, s.Update.HealthyDeadline/2)
		if s.Checked() {
			s.Update.MinHealthyTime = min(defaultHealthyChecked, s.Update.HealthyDeadline/2)
		}
	}
	return out
}

// enabledOf returns the blocks of a type that are enabled.
func enabledOf[T any](d declaration, typ string, list []T, name func(T) string) []T {
	var out []T
	for _, e := range list {
		if !d.off[typ+" "+strconv.Quote(name(e))] {
			out = append(out, e)
		}
	}
	return out
}

func (l *loader) decodeServices(p *pipeline.Project) {
	l.eachNamed("service", func(name string, source *hcl.Block) {
		d := &serviceDeclaration{declaration: newDeclaration(), value: newService(name)}
		d.value.At = l.posOf(source.DefRange)
		b := l.open(source, kindService, named(source))
		b.require("image")
		b.service(d)
		l.services[name] = d
		p.Services[name] = d.resolved().value
	})
}

// newService returns a service with every default.
func newService(name string) *pipeline.Service {
	return &pipeline.Service{
		Name: name, Mode: pipeline.ModeReplicated, Count: 1,
		Resources: newResources(),
		Update:    newUpdate(),
		Restart:   pipeline.Restart{Policy: pipeline.RestartAlways, Delay: defaultRestartDelay},
		Stop:      pipeline.Stop{Grace: defaultGrace},
	}
}

// cloneService returns a copy that shares nothing with s.
func cloneService(s *pipeline.Service) *pipeline.Service {
	c := *s
	c.Env, c.Labels = maps.Clone(s.Env), maps.Clone(s.Labels)
	c.Secrets, c.Ports, c.Volumes = slices.Clone(s.Secrets), slices.Clone(s.Ports), slices.Clone(s.Volumes)
	if s.Check != nil {
		check := *s.Check
		c.Check = &check
	}
	return &c // other slices are replaced as a whole, never written into
}

// service reads what a service block sets onto d.
func (b *block) service(d *serviceDeclaration) {
	s := d.value
	b.note(d.declaration, "", "count", "entrypoint", "command")
	b.image(&s.Image)
	b.oneOf("mode", &s.Mode, pipeline.ModeReplicated, pipeline.ModeGlobal)
	b.integer("count", &s.Count, 0, maxCount)
	b.command("entrypoint", &s.Entrypoint)
	b.command("command", &s.Command)
	b.absolute("workdir", &s.WorkDir)
	b.filled("user", &s.User)
	b.environment("env", &s.Env)
	b.stringMap("labels", &s.Labels)
	b.tmpfs(&s.Tmpfs)
	b.amount("shm_size", &s.ShmSize)
	b.boolean("read_only", &s.ReadOnly)
	b.boolean("metadata", &s.Metadata)
	b.boolean("init", &s.Init)
	b.capabilities("cap_add", &s.CapAdd)
	b.capabilities("cap_drop", &s.CapDrop)
	b.limits(&d.declaration)
	b.blocksOf("port", func(n *hcl.Block) { mergeNamed(&s.Ports, b.l.port(n, d), portName) })
	b.mounted(d.declaration, &s.Volumes, &s.Secrets)
	b.blocksOf("resources", func(n *hcl.Block) { b.l.resources(n, &s.Resources) })
	b.blocksOf("security", func(n *hcl.Block) { b.l.security(n, &s.Security) })
	b.blocksOf("check", func(n *hcl.Block) { b.l.healthCheck(n, d) })
	b.blocksOf("update", func(n *hcl.Block) { b.l.update(n, &s.Update) })
	b.blocksOf("restart", func(n *hcl.Block) { b.l.restart(n, &s.Restart) })
	b.blocksOf("stop", func(n *hcl.Block) { b.l.stop(n, &s.Stop) })
}

// limits reads the environments that a service or a task is limited to.
func (b *block) limits(d *declaration) {
	if only, ok := b.references("environments", "environment"); ok {
		d.only = append([]string{}, only...)
	}
}

// mounted reads the volumes and secrets of a service or a task.
func (b *block) mounted(d declaration, volumes *[]pipeline.Volume, secrets *[]pipeline.Secret) {
	b.blocksOf("volume", func(n *hcl.Block) { mergeNamed(volumes, b.l.volume(n, d, *volumes), volumeName) })
	b.blocksOf("secret", func(n *hcl.Block) { mergeNamed(secrets, b.l.secret(n, d, *secrets), secretName) })
}

func portName(p pipeline.Port) string     { return p.Name }
func volumeName(v pipeline.Volume) string { return v.Name }
func secretName(s pipeline.Secret) string { return s.Name }

// mergeNamed replaces the element of the same name, or appends.
func mergeNamed[T any](list *[]T, one T, name func(T) string) {
	for i := range *list {
		if name((*list)[i]) == name(one) {
			(*list)[i] = one
			return
		}
	}
	*list = append(*list, one)
}

// declared returns the element with a name, or a zero one.
func declared[T any](list []T, name string, nameOf func(T) string) T {
	for _, e := range list {
		if nameOf(e) == name {
			return e
		}
	}
	var zero T
	return zero
}

// fresh checks the head of a block that is met for the first time: it has what
// such a block needs, or there is nothing to take away.
func (b *block) fresh(source *hcl.Block, typ string, enabled bool, needs string) {
	b.l.checkName(typ, source.Labels[0], source.LabelRanges[0])
	if !enabled && !b.has(needs) {
		b.l.fault(source.LabelRanges[0], "Reference to undeclared "+typ, "There is no %s %q to take away.", typ, source.Labels[0])
		return
	}
	b.require(needs)
}

func (l *loader) port(source *hcl.Block, d *serviceDeclaration) pipeline.Port {
	b := l.open(source, kindPort, named(source))
	enabled := b.enabled(d.declaration)
	p := declared(d.value.Ports, source.Labels[0], portName)
	if p.Name == "" {
		b.fresh(source, "port", enabled, "to")
		p.Protocol = "tcp"
	}
	p.Name, p.At = source.Labels[0], l.posOf(source.DefRange)
	b.integer("to", &p.To, 1, 65535)
	b.integer("publish", &p.Publish, 0, 65535)
	b.oneOf("protocol", &p.Protocol, "tcp", "udp")
	b.reach(&p)
	return p
}

func (l *loader) volume(source *hcl.Block, d declaration, list []pipeline.Volume) pipeline.Volume {
	b := l.open(source, kindVolume, named(source))
	enabled := b.enabled(d)
	v := declared(list, source.Labels[0], volumeName)
	if v.Name == "" {
		b.fresh(source, "volume", enabled, "destination")
	}
	v.Name, v.At = source.Labels[0], l.posOf(source.DefRange)
	b.absolute("source", &v.Source)
	b.absolute("destination", &v.Destination)
	b.boolean("read_only", &v.ReadOnly)
	b.boolean("shared", &v.Shared)
	return v
}

func (l *loader) secret(source *hcl.Block, d declaration, list []pipeline.Secret) pipeline.Secret {
	b := l.open(source, kindSecret, named(source))
	b.enabled(d)
	s := declared(list, source.Labels[0], secretName)
	s.Name, s.At = source.Labels[0], l.posOf(source.DefRange)
	if !secretPattern.MatchString(s.Name) {
		l.fault(source.LabelRanges[0], "Invalid secret name", "%q can't be the name of a secret: it has letters, digits, _, - and ., as a variable of the environment that may hold it.", s.Name)
	}
	if b.has("env") && b.has("file") {
		l.fault(b.def, "Secret with two places", "Secret %q has both env and file. Drop one.", s.Name)
		return s
	}
	if b.filled("env", &s.Env) {
		s.File = ""
	}
	if b.absolute("file", &s.File) {
		s.Env = ""
	}
	if s.Env == "" && s.File == "" && !b.has("env") && !b.has("file") {
		s.Env = s.Name
	}
	return s
}
