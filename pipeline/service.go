package pipeline

import "fmt"

// Image names what a service or a task runs: exactly one field is set.
type Image struct {
	Target string `json:"target,omitempty"` // a target of this project
	Ref    string `json:"ref,omitempty"`    // a reference as written, such as "postgres:17"
}

// String returns the reference, or "target.NAME".
func (i Image) String() string {
	if i.Target != "" {
		return "target." + i.Target
	}
	return i.Ref
}

// Modes of spreading a service over the hosts of an environment.
const (
	ModeReplicated = "replicated" // Count instances, spread evenly
	ModeGlobal     = "global"     // one instance a host
)

// Service is a long-running program. Its JSON form is part of a release: two
// services with equal JSON and equal image digests run alike.
type Service struct {
	Name       string            `json:"name"`
	Image      Image             `json:"image"`
	Mode       string            `json:"mode"`
	Count      int               `json:"count"`
	Entrypoint []string          `json:"entrypoint,omitzero"` // replaces the image's entrypoint and command; [] is none, nil the image's
	Command    []string          `json:"command,omitzero"`    // replaces the image's; [] is none
	WorkDir    string            `json:"workdir,omitempty"`
	User       string            `json:"user,omitempty"` // name or uid[:gid]; the image's by default
	Env        map[string]string `json:"env,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Secrets    []Secret          `json:"secrets,omitempty"`
	Ports      []Port            `json:"ports,omitempty"`
	Volumes    []Volume          `json:"volumes,omitempty"`
	Tmpfs      []string          `json:"tmpfs,omitempty"`     // as ParseTmpfs reads them
	ShmSize    Bytes             `json:"shm_size,omitempty"`  // of /dev/shm; 0 is 64 MiB
	ReadOnly   bool              `json:"read_only,omitempty"` // root file system is read-only
	CapAdd     []string          `json:"cap_add,omitempty"`   // "NET_ADMIN" style names, without CAP_
	CapDrop    []string          `json:"cap_drop,omitempty"`
	Metadata   bool              `json:"metadata,omitempty"` // it may reach 169.254.0.0/16, where clouds give credentials away
	Security   Security          `json:"security,omitzero"`
	Init       bool              `json:"init,omitempty"` // pid 1 passes signals on and reaps what its program leaves
	Resources  Resources         `json:"resources"`
	Check      *Check            `json:"check,omitempty"` // nil: the image's HEALTHCHECK, if it has one
	Update     Update            `json:"update"`
	Restart    Restart           `json:"restart"`
	Stop       Stop              `json:"stop"`
	At         Pos               `json:"-"`
}

// Port returns the port with that name, or nil.
func (s *Service) Port(name string) *Port {
	for i := range s.Ports {
		if s.Ports[i].Name == name {
			return &s.Ports[i]
		}
	}
	return nil
}

// Checked says whether the file has a check for the service: another one may
// come with its image.
func (s *Service) Checked() bool { return s.Check != nil && s.Check.Type != CheckNone }

// Instance names one replica of a service; Index counts from 1 over the whole
// environment.
type Instance struct {
	Service string
	Index   int
}

// String returns "SERVICE/INDEX", the form used on the wire.
func (i Instance) String() string { return fmt.Sprintf("%s/%d", i.Service, i.Index) }

// Port is a port of a service.
type Port struct {
	Name     string `json:"name"`
	To       int    `json:"to"`                // in the container, 1 to 65535
	Publish  int    `json:"publish,omitempty"` // on the host, 1 to 65535; 0 is not published
	Protocol string `json:"protocol"`          // "tcp" or "udp"
	// Address says where on the host it is published: IPv4 addresses and names
	// of interfaces, sorted. None is everywhere.
	Address []string `json:"address,omitempty"`
	From    []string `json:"from,omitempty"` // networks that may connect, sorted; none is all
	At      Pos      `json:"-"`
}

// Volume is a named volume, or a folder of the host when Source is absolute.
type Volume struct {
	Name        string `json:"name"`
	Source      string `json:"source,omitempty"` // absolute path on the host: a bind mount instead of a named volume
	Destination string `json:"destination"`      // absolute path in the container
	ReadOnly    bool   `json:"read_only,omitempty"`
	Shared      bool   `json:"shared,omitempty"` // several containers may write to it at once
	At          Pos    `json:"-"`
}

// Secret gives a secret's value to a service, as an environment variable or as
// a file. Exactly one of Env and File is set. Where the value comes from is
// settled by pipeline/secret on the deployer's machine.
type Secret struct {
	Name string `json:"name"`
	Env  string `json:"env,omitempty"`
	File string `json:"file,omitempty"` // absolute path in the container
	At   Pos    `json:"-"`
}

// Resources bounds one container. Zero is unlimited.
type Resources struct {
	CPU    float64 `json:"cpu,omitempty"`    // cores
	Memory Bytes   `json:"memory,omitempty"` // swap is not added to it
	Pids   int64   `json:"pids,omitempty"`   // 4096 by default
}

// Kinds of check.
const (
	CheckHTTP = "http" // GET Path; 200 to 399 is healthy
	CheckTCP  = "tcp"  // a connection is accepted
	CheckExec = "exec" // a command in the container exits 0
	CheckNone = "none" // there is none, whatever the image says
)

// Check says when an instance is healthy.
type Check struct {
	Type        string   `json:"type"`
	Port        string   `json:"port,omitempty"` // name of a port; http and tcp
	Path        string   `json:"path,omitempty"` // http
	Command     []string `json:"command,omitempty"`
	Interval    Duration `json:"interval"`
	Timeout     Duration `json:"timeout"`
	StartPeriod Duration `json:"start_period,omitempty"` // failures in this time do not count as unhealthy
	Retries     int      `json:"retries"`                // failures in a row that make an instance unhealthy
	// RestartAfter is how long an instance may be unhealthy before it is
	// restarted; 0 is for ever.
	RestartAfter Duration `json:"restart_after,omitempty"`
	At           Pos      `json:"-"`
}

// Update says how a rollout goes; the words and meanings are Nomad's.
type Update struct {
	Strategy         string   `json:"strategy"`                   // rolling, canary, blue-green, all-at-once, recreate
	MaxParallel      int      `json:"max_parallel"`               // instances at a time; 1 by default
	MaxParallelPct   int      `json:"max_parallel_pct,omitempty"` // percent of the count instead, 1 to 100
	Canary           int      `json:"canary,omitempty"`           // instances that go first
	AutoPromote      bool     `json:"auto_promote,omitempty"`     // canaries continue by themselves once healthy
	MinHealthyTime   Duration `json:"min_healthy_time"`
	HealthyDeadline  Duration `json:"healthy_deadline"`
	ProgressDeadline Duration `json:"progress_deadline"`
	AutoRevert       bool     `json:"auto_revert"`
	Drain            Duration `json:"drain"` // longest wait for live connections to end
	At               Pos      `json:"-"`
	RevertAt         Pos      `json:"-"` // where the file says auto_revert, if it does
	ProgressAt       Pos      `json:"-"` // where it says progress_deadline
}

// Strategies of an update.
const (
	StrategyRolling   = "rolling"
	StrategyCanary    = "canary"
	StrategyBlueGreen = "blue-green"
	StrategyAllAtOnce = "all-at-once"
	StrategyRecreate  = "recreate"
)

// Restart policies.
const (
	RestartAlways    = "always"
	RestartOnFailure = "on-failure"
	RestartNever     = "never"
)

// Restart says what happens when a container ends by itself.
type Restart struct {
	Policy   string   `json:"policy"`
	Attempts int      `json:"attempts,omitempty"` // 0 is without end
	Delay    Duration `json:"delay"`              // before the first restart; doubles up to a minute
}

// Stop says how a container is asked to end.
type Stop struct {
	Signal string   `json:"signal,omitempty"` // the image's, or SIGTERM
	Grace  Duration `json:"grace"`            // then SIGKILL; 10s by default
}

// Task hooks.
const (
	HookPreDeploy  = "pre-deploy"
	HookPostDeploy = "post-deploy"
)

// Task is a program that ends: before or after a rollout, on a schedule, or by
// hand. It runs once an environment, on its first host by name (Release.TaskHost).
type Task struct {
	Name       string            `json:"name"`
	Image      Image             `json:"image"`
	Entrypoint []string          `json:"entrypoint,omitzero"` // as in Service
	Command    []string          `json:"command,omitzero"`
	Metadata   bool              `json:"metadata,omitempty"` // as of a service
	WorkDir    string            `json:"workdir,omitempty"`
	User       string            `json:"user,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	Secrets    []Secret          `json:"secrets,omitempty"`
	Volumes    []Volume          `json:"volumes,omitempty"`
	Security   Security          `json:"security,omitzero"`
	Init       bool              `json:"init,omitempty"`
	Resources  Resources         `json:"resources"`
	Hook       string            `json:"hook,omitempty"`
	Schedule   string            `json:"schedule,omitempty"`  // five cron fields
	TimeZone   string            `json:"time_zone,omitempty"` // IANA name; UTC by default
	Overlap    string            `json:"overlap,omitempty"`   // "skip" (default), "replace" or "allow"
	Timeout    Duration          `json:"timeout"`
	At         Pos               `json:"-"`
}
