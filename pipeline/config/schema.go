package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"dray/pipeline/phrase"
)

// kind is what may stand in one kind of block.
type kind struct {
	name   string            // with its article: "a service"
	args   []string          // NAME = value
	blocks []string          // NAME { … }
	named  []string          // NAME "label" { … }
	notYet []string          // known words of bake that dray does not honour
	other  map[string]string // words that people bring from elsewhere → the fix
}

var kindRoot = kind{
	name:   "the file",
	args:   []string{"project"},
	blocks: []string{"locals", "registry"},
	named:  []string{"variable", "function", "target", "group", "service", "task", "host", "environment", "dynamic"},
	other: map[string]string{
		"job":      `A program that runs is a service "NAME" { … }; one that ends is a task "NAME" { … }.`,
		"app":      `A program that runs is a service "NAME" { … }.`,
		"services": `Write one service "NAME" { … } block for each.`,
		"server":   `A machine is a host "NAME" { address = "ssh://…" }.`,
		"servers":  `A machine is a host "NAME" { address = "ssh://…" }.`,
		"build":    `An image to build is a target "NAME" { … }.`,
		"image":    `An image to build is a target "NAME" { … }; image = … stands in a service or a task.`,
		"stage":    `A stage on the way to production is an environment "NAME" { … }.`,
	},
}

var kindVariable = kind{
	name:   "a variable",
	args:   []string{"type", "default", "description", "sensitive", "nullable"},
	blocks: []string{"validation"},
	other:  map[string]string{"value": "A variable's value is its default, or comes from --var, DRAY_VAR_* or a file of values."},
}

var kindValidation = kind{name: "a validation", args: []string{"condition", "error_message"}}

var kindFunction = kind{name: "a function", args: []string{"params", "variadic_param", "result"}}

var kindGroup = kind{name: "a group", args: []string{"targets", "description"}}

var kindRegistry = kind{
	name: "a registry", args: []string{"address", "insecure", "tags"},
	other: map[string]string{
		"username": "Credentials come from docker login's store or a credential helper, never from the file.",
		"password": "Credentials come from docker login's store or a credential helper, never from the file.",
		"server":   `Write address = "registry.example.com/shop".`,
		"url":      `Write address = "registry.example.com/shop".`,
		"http":     "For a registry without TLS write insecure = true.",
	},
}

var kindTarget = kind{
	name: "a target",
	args: []string{
		"annotations", "args", "cache-from", "cache-to", "context", "contexts", "description", "dockerfile",
		"dockerfile-inline", "entitlements", "extra-hosts", "inherits", "labels", "matrix", "name", "network", "no-cache", "no-cache-filter",
		"platforms", "pull", "secret", "shm-size", "ssh", "tags", "target", "ulimits",
	},
	notYet: []string{"attest", "call", "output", "policy", "variable"},
	other: map[string]string{
		"platform": `Write platforms = ["linux/amd64"].`,
		"tag":      `Write tags = ["…"].`,
		"build":    "The folder to build is context = \"…\".",
		"path":     "The folder to build is context = \"…\".",
	},
}

var runArgs = []string{"image", "entrypoint", "command", "workdir", "user", "env", "metadata", "init"}

var kindService = kind{
	name:   "a service",
	args:   append([]string{"mode", "count", "labels", "tmpfs", "shm_size", "read_only", "cap_add", "cap_drop", "environments", "for_each"}, runArgs...),
	blocks: []string{"resources", "security", "check", "update", "restart", "stop"},
	named:  []string{"port", "volume", "secret"},
	other: map[string]string{
		"healthcheck":  `Write check { type = "http", port = …, path = … } over several lines.`,
		"health":       `Did you mean "check"?`,
		"replicas":     "The number of instances is count.",
		"scale":        "The number of instances is count.",
		"environment":  `Variables are env = { NAME = "value" }.`,
		"ports":        `Write one port "NAME" { to = …, publish = … } block for each, over several lines.`,
		"expose":       `Write one port "NAME" { to = … } block for each.`,
		"volumes":      `Write one volume "NAME" { destination = "/…" } block for each.`,
		"mounts":       `Write one volume "NAME" { destination = "/…" } block for each.`,
		"secrets":      `Write one secret "NAME" { env = "…" } block for each.`,
		"cmd":          "The program is command = [\"…\"].",
		"args":         "Arguments are command = [\"…\"]; args of a build stand in its target.",
		"build":        "Write a target block, and image = target.NAME here.",
		"deploy":       "How a rollout goes is in an update block.",
		"depends_on":   "Services start together: dray has no order between them. A program retries until what it needs answers.",
		"working_dir":  "The working folder is workdir.",
		"memory":       "Write resources { memory = \"256MiB\" }.",
		"cpu":          "Write resources { cpu = 0.5 }.",
		"security_opt": `Write security { seccomp = "…", apparmor = "…", no_new_privileges = false } over several lines.`,
		"runtime":      `Write security { runtime = "/usr/bin/crun" }.`,
		"privileged":   "dray gives single capabilities: cap_add = [\"NET_ADMIN\"].",
	},
}

var kindTask = kind{
	name:   "a task",
	args:   append([]string{"hook", "schedule", "time_zone", "overlap", "timeout", "environments", "for_each"}, runArgs...),
	blocks: []string{"resources", "security"},
	named:  []string{"volume", "secret"},
	other: map[string]string{
		"cron":     `Write schedule = "0 3 * * *".`,
		"timezone": `Write time_zone = "Europe/Berlin".`,
		"check":    "A task has no check: it has passed when its command exits 0.",
		"port":     "A task serves nothing; a service has ports.",
		"count":    "A task runs once an environment, on its first host.",
	},
}

var (
	kindPort   = kind{name: "a port", args: []string{"to", "publish", "protocol", "address", "from", "enabled"}}
	kindVolume = kind{
		name: "a volume", args: []string{"source", "destination", "read_only", "shared", "enabled"},
		other: map[string]string{
			"target": `The place in the container is destination = "/…".`,
			"path":   `The place in the container is destination = "/…".`,
		},
	}
	kindSecret = kind{
		name: "a secret", args: []string{"env", "file", "enabled"},
		other: map[string]string{"value": "A value never stands in the file: put it in the variable of the same name, or in .dray/secrets."},
	}
	kindResources = kind{name: "a resources block", args: []string{"cpu", "memory", "pids"}}
	kindSecurity  = kind{
		name: "a security block", args: []string{"no_new_privileges", "seccomp", "apparmor", "runtime"},
		other: map[string]string{
			"cap_add":    "Capabilities stand in the service: cap_add = [\"NET_ADMIN\"].",
			"cap_drop":   "Capabilities stand in the service: cap_drop = [\"ALL\"].",
			"read_only":  "A read-only root file system is read_only = true in the service.",
			"privileged": "dray gives single capabilities: cap_add = [\"NET_ADMIN\"].",
		},
	}
	kindCheck = kind{
		name: "a check",
		args: []string{"type", "port", "path", "command", "interval", "timeout", "start_period", "retries", "restart_after", "enabled"},
		other: map[string]string{
			"liveness": `How long it may be unhealthy before it is restarted is restart_after = "30s".`,
			"test":     `Write type = "exec" and command = ["…"].`,
			"url":      `Write type = "http", port = "NAME" and path = "/…".`,
		},
	}
	kindUpdate = kind{
		name: "an update block",
		args: []string{
			"strategy", "max_parallel", "canary", "auto_promote", "min_healthy_time", "healthy_deadline",
			"progress_deadline", "auto_revert", "drain",
		},
		other: map[string]string{"stagger": "Batches follow each other as soon as they are healthy: see min_healthy_time."},
	}
	kindRestart = kind{name: "a restart block", args: []string{"policy", "attempts", "delay"}}
	kindStop    = kind{
		name: "a stop block", args: []string{"signal", "grace"},
		other: map[string]string{"timeout": `The time between the signal and SIGKILL is grace = "10s".`},
	}
	kindHost = kind{
		name: "a host", args: []string{"address", "jump", "for_each"},
		other: map[string]string{
			"user": `The user is part of the address: "ssh://deploy@p1.example.com".`,
			"port": `The port is part of the address: "ssh://p1.example.com:2222".`,
			"key":  "Keys come from the SSH agent and ~/.ssh/config.",
		},
	}
	kindEnvironment = kind{
		name:   "an environment",
		args:   []string{"hosts", "retain", "confirm_within", "for_each"},
		blocks: []string{"promotion"},
		named:  []string{"verify", "service", "task"},
		other: map[string]string{
			"host": "Write hosts = [host.NAME].",
			"env":  `Variables belong to a service: service "NAME" { env = { … } } in this environment.`,
		},
	}
	kindPromotion = kind{name: "a promotion", args: []string{"from", "min_age", "approve", "prevent_self_approval"}}
	kindVerify    = kind{name: "a verify block", args: []string{"command", "env", "timeout"}}
)

func (k kind) schema() *hcl.BodySchema {
	s := &hcl.BodySchema{}
	for _, names := range [][]string{k.args, k.notYet} {
		for _, name := range names {
			s.Attributes = append(s.Attributes, hcl.AttributeSchema{Name: name})
		}
	}
	for _, name := range k.blocks {
		s.Blocks = append(s.Blocks, hcl.BlockHeaderSchema{Type: name})
	}
	for _, name := range k.named {
		s.Blocks = append(s.Blocks, hcl.BlockHeaderSchema{Type: name, LabelNames: []string{"name"}})
	}
	return s
}

// unknown returns the fault of a name that k does not have, with what to write
// instead.
func (k kind) unknown(name string, isBlock bool) (summary, detail string) {
	word := "argument"
	if isBlock {
		word = "block"
	}
	summary = fmt.Sprintf("Unknown %s %q", word, name)
	switch {
	case slices.Contains(k.notYet, name):
		return notHonoured(k, name)
	case isBlock && slices.Contains(k.args, name):
		return summary, fmt.Sprintf("%s is an argument here: write %s = … with an equals sign.", name, name)
	case !isBlock && slices.Contains(k.blocks, name):
		return summary, fmt.Sprintf("%s is a block here: write %s { … } without an equals sign.", name, name)
	case !isBlock && slices.Contains(k.named, name):
		return summary, fmt.Sprintf("%s is a block here: write %s \"NAME\" { … } without an equals sign.", name, name)
	case k.other[name] != "":
		return summary, fmt.Sprintf("%s has no %s %q. %s", phrase.Capital(k.name), word, name, k.other[name])
	}
	all := slices.Concat(k.args, k.blocks, k.named)
	switch near := phrase.Nearest(name, append(sortedKeys(k.other), all...)); {
	case k.other[near] != "":
		return summary, fmt.Sprintf("%s has no %s %q. %s", phrase.Capital(k.name), word, name, k.other[near])
	case near != "":
		return summary, fmt.Sprintf("%s has no %s %q. Did you mean %q?", phrase.Capital(k.name), word, name, near)
	}
	slices.Sort(all)
	return summary, fmt.Sprintf("%s has no %s %q. It has: %s.", phrase.Capital(k.name), word, name, strings.Join(all, ", "))
}

func notHonoured(k kind, name string) (summary, detail string) {
	return name + " is not honoured yet",
		fmt.Sprintf("bake knows %q in %s, dray does not act on it so far. Leave it out; a file that means more than dray does would mislead.", name, k.name)
}
