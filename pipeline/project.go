package pipeline

import "slices"

// Project is one dray.hcl, evaluated: every reference resolved, every default
// filled in.
type Project struct {
	Name         string              `json:"name"`
	Dir          string              `json:"-"` // absolute folder of the file; relative paths start here
	Registry     *Registry           `json:"registry,omitempty"`
	Targets      map[string]*Target  `json:"targets,omitempty"`
	Groups       map[string][]string `json:"groups,omitempty"` // names of targets and groups that are built together
	Services     map[string]*Service `json:"services,omitempty"`
	Tasks        map[string]*Task    `json:"tasks,omitempty"`
	Hosts        map[string]*Host    `json:"hosts,omitempty"`
	Environments []*Environment      `json:"environments,omitempty"` // a promotion's source comes before its destination; otherwise the file's order
}

// Environment returns the environment of that name, or nil.
func (p *Project) Environment(name string) *Environment {
	i := slices.IndexFunc(p.Environments, func(e *Environment) bool { return e.Name == name })
	if i < 0 {
		return nil
	}
	return p.Environments[i]
}

// Registry is where images are pushed. Without one, layers travel from the
// builder's store to the hosts over SSH.
type Registry struct {
	Address  string   `json:"address"`            // host[:port][/path], without a scheme
	Tags     []string `json:"tags,omitempty"`     // that every pushed image gets beside the commit's, and moves
	Insecure bool     `json:"insecure,omitempty"` // plain HTTP beyond the loopback, where the registry has no TLS: images and credentials travel in the clear
	At       Pos      `json:"-"`
}

// Host is a Linux machine. The name "local" is this machine, without SSH.
type Host struct {
	Name    string `json:"name"`
	Address string `json:"address"`        // ssh://[user@]host[:port], or "local"
	Jump    string `json:"jump,omitempty"` // ssh://… of a jump host; several are separated by commas, nearest first
	At      Pos    `json:"-"`
}

// LocalHost is the reserved host name, and address, of this machine.
const LocalHost = "local"

// Environment is a list of hosts and what runs on them.
type Environment struct {
	Name          string              `json:"name"`
	Hosts         []string            `json:"hosts"`    // names, in the file's order
	Services      map[string]*Service `json:"services"` // the project's services with this environment's changes merged over them
	Tasks         map[string]*Task    `json:"tasks,omitempty"`
	Promotion     *Promotion          `json:"promotion,omitempty"`
	Verify        []Verify            `json:"verify,omitempty"`         // in the file's order
	Retain        int                 `json:"retain"`                   // releases kept on each host; 5 by default
	ConfirmWithin Duration            `json:"confirm_within,omitempty"` // an unconfirmed deployment goes back by itself after this; 1m by default
	At            Pos                 `json:"-"`
}

// Promotion is the gate in front of an environment.
type Promotion struct {
	From    string   `json:"from"`              // environment that the same digests must have passed
	MinAge  Duration `json:"min_age,omitempty"` // healthy there for at least this long
	Approve bool     `json:"approve,omitempty"` // a person must approve
	// PreventSelfApproval wants the approval of another person than who promotes, by
	// the keys that the hosts saw.
	PreventSelfApproval bool `json:"prevent_self_approval,omitempty"`
	At                  Pos  `json:"-"`
}

// Verify is a command run on the deployer's machine after a rollout and
// before the release is confirmed. Exit code 0 passes.
//
// It finds DRAY_PROJECT, DRAY_ENVIRONMENT, DRAY_RELEASE, DRAY_HOSTS (names,
// space separated) and, for each published port, DRAY_URLS (one URL a host and
// port, space separated) in its environment.
type Verify struct {
	Name    string            `json:"name"`
	Command []string          `json:"command"`
	Env     map[string]string `json:"env,omitempty"`
	Timeout Duration          `json:"timeout"`
	At      Pos               `json:"-"`
}
