package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // Windows and small images have no time zones, and a schedule's is checked everywhere

	"github.com/hashicorp/hcl/v2"

	"dray/pipeline"
	"dray/pipeline/cron"
)

func (l *loader) decodeTasks(p *pipeline.Project) {
	l.eachNamed("task", func(name string, source *hcl.Block) {
		t := &pipeline.Task{Name: name, Resources: newResources(), Timeout: defaultTaskTimeout, At: l.posOf(source.DefRange)}
		d := &taskDeclaration{declaration: newDeclaration(), value: t}
		b := l.open(source, kindTask, named(source))
		b.require("image", "command")
		b.task(d)
		l.tasks[name] = d
		p.Tasks[name] = d.resolved().value
	})
}

// taskDeclaration is a task with all its blocks, those included that are not
// enabled.
type taskDeclaration struct {
	declaration
	value *pipeline.Task
}

func (d *taskDeclaration) clone() *taskDeclaration {
	return &taskDeclaration{declaration: d.declaration.clone(), value: cloneTask(d.value)}
}

// resolved returns the task as it runs: with what is enabled.
func (d *taskDeclaration) resolved() *taskDeclaration {
	out := d.clone()
	out.value.Volumes = enabledOf(d.declaration, "volume", out.value.Volumes, volumeName)
	out.value.Secrets = enabledOf(d.declaration, "secret", out.value.Secrets, secretName)
	return out
}

func cloneTask(t *pipeline.Task) *pipeline.Task {
	c := *t
	c.Env = maps.Clone(t.Env)
	c.Secrets, c.Volumes = slices.Clone(t.Secrets), slices.Clone(t.Volumes)
	return &c
}

// task reads what a task block sets onto d.
func (b *block) task(d *taskDeclaration) {
	t := d.value
	b.note(d.declaration, "", "entrypoint", "command")
	b.image(&t.Image)
	b.command("entrypoint", &t.Entrypoint)
	b.command("command", &t.Command)
	b.absolute("workdir", &t.WorkDir)
	b.boolean("metadata", &t.Metadata)
	b.boolean("init", &t.Init)
	b.filled("user", &t.User)
	b.environment("env", &t.Env)
	b.oneOf("hook", &t.Hook, pipeline.HookPreDeploy, pipeline.HookPostDeploy)
	b.schedule(&t.Schedule)
	b.timeZone(&t.TimeZone)
	b.oneOf("overlap", &t.Overlap, "skip", "replace", "allow")
	b.duration("timeout", &t.Timeout, time.Second)
	b.limits(&d.declaration)
	b.mounted(d.declaration, &t.Volumes, &t.Secrets)
	b.blocksOf("resources", func(n *hcl.Block) { b.l.resources(n, &t.Resources) })
	b.blocksOf("security", func(n *hcl.Block) { b.l.security(n, &t.Security) })
	hook, schedule := t.Hook != "" || b.has("hook"), t.Schedule != "" || b.has("schedule")
	if hook && schedule {
		b.l.fault(b.def, "Task with two occasions", "Task %q has both hook and schedule. Make it two tasks.", t.Name)
	}
	if !schedule && (b.has("overlap") || b.has("time_zone")) {
		b.l.fault(b.def, "Task without a schedule", "overlap and time_zone are for a task with schedule = \"…\".")
	}
}

// schedule reads five cron fields: crontab(5).
func (b *block) schedule(dst *string) {
	var s string
	if !b.filled("schedule", &s) {
		return
	}
	if _, err := cron.Parse(s); err != nil {
		b.l.fault(b.rangeOf("schedule"), "Invalid schedule", "%s.", err)
		return
	}
	*dst = strings.Join(strings.Fields(s), " ")
}

func (b *block) timeZone(dst *string) {
	var s string
	if !b.filled("time_zone", &s) {
		return
	}
	if _, err := time.LoadLocation(s); err != nil || s == "Local" {
		b.l.fault(b.rangeOf("time_zone"), fmt.Sprintf("Unknown time zone %q", s), `Write an IANA name such as "Europe/Berlin", or "UTC".`)
		return
	}
	*dst = s
}
