package runtime

import (
	"net/netip"
	"time"

	"dray/pipeline"
)

// State of a container. Created means that its pid 1 exists and waits for
// Start: namespaces, mounts, cgroup and address are ready.
type State string

// States of a container.
const (
	Created State = "created"
	Running State = "running"
	Paused  State = "paused"
	Exited  State = "exited" // also: never started and its created process is gone (reboot)
	// Broken: what is kept of it can't be read, or what there is of it can't be
	// cleared away. Error says why. It may run: it is left as it is, and can
	// only be removed.
	Broken State = "broken"
)

// Spec says what a container is. It is immutable and kept on disk as JSON, so
// it holds no secret's value.
type Spec struct {
	Name       string             `json:"name"`  // unique on the host
	Image      string             `json:"image"` // digest of a manifest, or of an index with this platform, that the store has unpacked
	ImageName  string             `json:"image_name"`
	Labels     map[string]string  `json:"labels"`
	Hostname   string             `json:"hostname"`
	Entrypoint []string           `json:"entrypoint,omitzero"` // nil: the image's
	Command    []string           `json:"command,omitzero"`    // nil: the image's, unless Entrypoint is set
	Env        []string           `json:"env,omitempty"`       // "K=V"; wins over the image's
	Secrets    []SecretUse        `json:"secrets,omitempty"`
	User       string             `json:"user,omitempty"`
	WorkDir    string             `json:"workdir,omitempty"`
	ReadOnly   bool               `json:"read_only,omitempty"`
	CapAdd     []string           `json:"cap_add,omitempty"`
	CapDrop    []string           `json:"cap_drop,omitempty"`
	Mounts     []Mount            `json:"mounts,omitempty"`
	Tmpfs      []string           `json:"tmpfs,omitempty"`    // as pipeline.ParseTmpfs reads them
	ShmSize    pipeline.Bytes     `json:"shm_size,omitempty"` // of /dev/shm; 0 is 64 MiB
	TTY        bool               `json:"tty,omitempty"`
	OpenStdin  bool               `json:"open_stdin,omitempty"`
	Security   pipeline.Security  `json:"security,omitzero"`
	Init       bool               `json:"init,omitempty"` // pid 1 is dray's
	Resources  pipeline.Resources `json:"resources"`
	Network    string             `json:"network"`            // name of a network; "" is none (loopback only)
	Metadata   bool               `json:"metadata,omitempty"` // it may reach the cloud's metadata
	Restart    pipeline.Restart   `json:"restart"`
	Check      *Check             `json:"check,omitempty"`       // nil: the image's; of a container that exists: none
	StopSignal string             `json:"stop_signal,omitempty"` // "" is the image's or SIGTERM
	StopGrace  pipeline.Duration  `json:"stop_grace"`
}

// SecretUse gives the secret of that version to the container, as a variable
// or as a file (tmpfs, 0400, owned by the container's user).
type SecretUse struct {
	Version string `json:"version"`
	Env     string `json:"env,omitempty"`
	File    string `json:"file,omitempty"`
}

// Mount binds a path of the host into the container.
type Mount struct {
	Source      string `json:"source"` // absolute, on the host
	Destination string `json:"destination"`
	ReadOnly    bool   `json:"read_only,omitempty"`
	Relabel     string `json:"relabel,omitempty"` // how, where SELinux is; "" is not at all
}

// Ways to label what is bound for SELinux. A volume is labelled for all
// containers when it is first used; the others are Docker's options z, for all
// containers, and Z, for this one alone, each time.
const (
	RelabelVolume  = "volume"
	RelabelShared  = "shared"
	RelabelPrivate = "private"
)

// Check is a pipeline.Check with its port resolved.
type Check struct {
	Type        string            `json:"type"`
	Port        int               `json:"port,omitempty"` // in the container
	Path        string            `json:"path,omitempty"`
	Command     []string          `json:"command,omitempty"`
	Interval    pipeline.Duration `json:"interval"`
	Timeout     pipeline.Duration `json:"timeout"`
	StartPeriod pipeline.Duration `json:"start_period,omitempty"`
	Retries     int               `json:"retries"`
	// RestartAfter is how long it may be unhealthy before it is restarted; 0 is
	// for ever.
	RestartAfter pipeline.Duration `json:"restart_after,omitempty"`
}

// Container is a container as it is at one moment.
type Container struct {
	ID        string     `json:"id"` // 64 hex digits
	Spec      Spec       `json:"spec"`
	CreatedAt time.Time  `json:"created_at"`
	State     State      `json:"state"`
	Wanted    bool       `json:"wanted"`           // it was started and nobody stopped it: it runs again after an exit (by policy) or a reboot
	Halted    bool       `json:"halted,omitempty"` // it was ended because the host went down
	Pid       int        `json:"pid"`              // of its pid 1, in the agent's pid namespace; 0 unless running, created or paused
	Address   netip.Addr `json:"address"`
	Started   time.Time  `json:"started,omitzero"`
	Finished  time.Time  `json:"finished,omitzero"`
	ExitCode  int        `json:"exit_code"` // 128+n for signal n
	OOMKilled bool       `json:"oom_killed"`
	Error     string     `json:"error,omitempty"` // why it could not be started
	Restarts  int        `json:"restarts"`
	Health    Health     `json:"health"`

	ending string // why it is being ended, by whom ends it and wants it back
}

// Health is what the checks of a container have found.
type Health struct {
	Status  string    `json:"status"` // api.HealthNone, …
	Since   time.Time `json:"since,omitzero"`
	Tries   int       `json:"tries"`   // checks since the start
	Failing int       `json:"failing"` // failures in a row
	Last    string    `json:"last"`    // the last check's outcome in words
}

// Change is one change of a container, for those who watch.
type Change struct {
	Time      time.Time
	Container Container
	Action    string // the Docker Engine API's event actions: create, start, die, stop, kill, oom, pause, unpause, destroy, restart, health_status: healthy, exec_create, exec_start, exec_die
}

// Labels that dray sets on the containers of a release.
const (
	LabelProject     = "dray.project"
	LabelEnvironment = "dray.environment"
	LabelService     = "dray.service"
	LabelInstance    = "dray.instance" // "web/2"
	LabelRelease     = "dray.release"
	LabelDeployment  = "dray.deployment"
	LabelTask        = "dray.task"
	LabelTaskRun     = "dray.task.run" // id of the task's run
	LabelRun         = "dray.run"      // service whose one-off container it is
	LabelRunKey      = "dray.run.key"  // with which its client finds it again
)
