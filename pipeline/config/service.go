package config

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"dray/pipeline"
)

// unset marks a duration whose default depends on other arguments.
const unset = pipeline.Duration(-1)

// saidKey names an argument of a value. Where it was set is remembered for
// faults that only show when the whole is known.
type saidKey struct {
	of       any // pointer to the value
	argument string
}

func (b *block) say(of any, arguments ...string) {
	for _, a := range arguments {
		if b.has(a) {
			b.l.said[saidKey{of, a}] = b.rangeOf(a)
		}
	}
}

// whereSaid returns where an argument was set, or the place of the whole.
func (l *loader) whereSaid(of any, argument string, whole pipeline.Pos) hcl.Range {
	if rng, ok := l.said[saidKey{of, argument}]; ok {
		return rng
	}
	return l.place(whole)
}

func (l *loader) wasSaid(of any, argument string) bool {
	_, ok := l.said[saidKey{of, argument}]
	return ok
}

func (l *loader) decodeServices(p *pipeline.Project) {
	l.eachNamed("service", func(name string, source *hcl.Block) {
		s := newService(name)
		s.At = l.at(source.DefRange)
		b := l.open(source, kindService, named(source))
		b.require("image")
		b.service(s)
		p.Services[name] = s
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

// service reads what a service block says onto s.
func (b *block) service(s *pipeline.Service) {
	b.say(s, "count", "mode", "image", "environments")
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
	b.boolean("read_only", &s.ReadOnly)
	b.capabilities("cap_add", &s.CapAdd)
	b.capabilities("cap_drop", &s.CapDrop)
	if only, ok := b.references("environments", "environment"); ok {
		b.l.only[s] = only
	}
	b.blocksOf("port", func(n *hcl.Block) { mergeNamed(&s.Ports, b.l.port(n, s.Ports), portName) })
	b.blocksOf("volume", func(n *hcl.Block) { mergeNamed(&s.Volumes, b.l.volume(n, s.Volumes), volumeName) })
	b.blocksOf("secret", func(n *hcl.Block) { mergeNamed(&s.Secrets, b.l.secret(n, s.Secrets), secretName) })
	b.blocksOf("resources", func(n *hcl.Block) { b.l.resources(n, &s.Resources) })
	b.blocksOf("check", func(n *hcl.Block) { b.l.healthCheck(n, &s.Check) })
	b.blocksOf("update", func(n *hcl.Block) { b.l.update(n, &s.Update) })
	b.blocksOf("restart", func(n *hcl.Block) { b.l.restart(n, &s.Restart) })
	b.blocksOf("stop", func(n *hcl.Block) { b.l.stop(n, &s.Stop) })
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

// before returns the element with a name, or a zero one.
func before[T any](list []T, name string, nameOf func(T) string) T {
	for _, e := range list {
		if nameOf(e) == name {
			return e
		}
	}
	var zero T
	return zero
}

func (l *loader) port(source *hcl.Block, list []pipeline.Port) pipeline.Port {
	b := l.open(source, kindPort, named(source))
	p := before(list, source.Labels[0], portName)
	fresh := p.Name == ""
	p.Name, p.At = source.Labels[0], l.at(source.DefRange)
	if fresh {
		l.checkName("port", p.Name, source.LabelRanges[0])
		b.require("to")
		p.Protocol = "tcp"
	}
	b.integer("to", &p.To, 1, 65535)
	b.integer("publish", &p.Publish, 1, 65535)
	b.oneOf("protocol", &p.Protocol, "tcp", "udp")
	return p
}

func (l *loader) volume(source *hcl.Block, list []pipeline.Volume) pipeline.Volume {
	b := l.open(source, kindVolume, named(source))
	v := before(list, source.Labels[0], volumeName)
	fresh := v.Name == ""
	v.Name, v.At = source.Labels[0], l.at(source.DefRange)
	if fresh {
		l.checkName("volume", v.Name, source.LabelRanges[0])
		b.require("destination")
	}
	b.absolute("source", &v.Source)
	b.absolute("destination", &v.Destination)
	b.boolean("read_only", &v.ReadOnly)
	b.boolean("shared", &v.Shared)
	return v
}

func (l *loader) secret(source *hcl.Block, list []pipeline.Secret) pipeline.Secret {
	b := l.open(source, kindSecret, named(source))
	s := before(list, source.Labels[0], secretName)
	s.Name, s.At = source.Labels[0], l.at(source.DefRange)
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
