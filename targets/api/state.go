package api

import "time"

// Host says what a host is. GET /dray/v1/host.
type Host struct {
	ID            string   `json:"id"`      // random, made at bootstrap
	Version       string   `json:"version"` // of drayd
	Bundle        string   `json:"bundle"`  // digest of the installed bundle
	API           int      `json:"api"`     // Version
	Hostname      string   `json:"hostname"`
	OS            string   `json:"os"` // PRETTY_NAME of os-release
	Kernel        string   `json:"kernel"`
	Arch          string   `json:"arch"`   // GOARCH
	CgroupVersion int      `json:"cgroup"` // 1 or 2
	Limits        []string `json:"limits"` // controllers that work here: cpu, memory, pids

	// Confinement is what containers are confined with here beside namespaces:
	// each "enforced" or "possible", or why it is not.
	Confinement Confinement `json:"confinement,omitzero"`

	CPUs         int       `json:"cpus"`
	MemoryTotal  int64     `json:"memory_total"` // bytes
	MemoryFree   int64     `json:"memory_free"`  // MemAvailable, bytes
	DiskTotal    int64     `json:"disk_total"`   // of the state folder's file system, bytes
	DiskFree     int64     `json:"disk_free"`
	StartsAtBoot bool      `json:"starts_at_boot"`
	PublicKey    []byte    `json:"public_key"` // ed25519, 32 bytes: signs evidence
	Started      time.Time `json:"started"`    // of the agent
	Now          time.Time `json:"now"`
	Firewall     string    `json:"firewall,omitempty"` // of the host: "ufw"; none where it is empty
	Open         []Open    `json:"open,omitempty"`     // ports of services that other hosts reach, past that firewall
}

// Confinement says what a host confines containers with.
type Confinement struct {
	AppArmor string `json:"apparmor,omitempty"`
	SELinux  string `json:"selinux,omitempty"`
	Seccomp  string `json:"seccomp,omitempty"`
	Userns   string `json:"userns,omitempty"`
	Policy   string `json:"selinux_policy,omitempty"` // what is missing of it
}

// Open is a published port that other hosts reach.
type Open struct {
	Port    string   `json:"port"`              // "80/tcp"
	Address string   `json:"address,omitempty"` // none is every one of the host
	From    []string `json:"from,omitempty"`    // who may connect; none is everybody
	Network string   `json:"network"`           // of the environment
	Service string   `json:"service"`
}

// Environment is everything that a host knows of one environment.
type Environment struct {
	Project    string           `json:"project"`
	Name       string           `json:"name"`
	Current    *Release         `json:"current,omitempty"`  // the confirmed release; nil before the first
	Since      time.Time        `json:"since,omitzero"`     // when it was confirmed
	Previous   []ReleaseNumber  `json:"previous"`           // stable releases kept on this host, newest first, without Current
	Deployed   string           `json:"deployed,omitempty"` // id of the deployment that brought Current
	LastNumber int              `json:"last_number"`        // highest release number ever prepared here
	Deployment *Deployment      `json:"deployment,omitempty"`
	Lease      *Lease           `json:"lease,omitempty"`
	Freeze     *Freeze          `json:"freeze,omitempty"`
	Instances  []InstanceStatus `json:"instances"`
	Kept       []InstanceStatus `json:"kept,omitempty"` // of releases before: they wait for a rollback, or drain
	Runs       []InstanceStatus `json:"runs,omitempty"` // of tasks ("task.migrate"), and one-off containers of services ("web/run")
	Drift      []Drift          `json:"drift,omitempty"`
	Approvals  []Approval       `json:"approvals,omitempty"`
	Volumes    []string         `json:"volumes,omitempty"` // that this host holds
}

// States of a deployment on a host.
const (
	StatePreparing  = "preparing"
	StatePrepared   = "prepared"
	StateCommitting = "committing"
	StateCommitted  = "committed"
	StateConfirmed  = "confirmed"
	StateReverting  = "reverting"
	StateReverted   = "reverted"
	StateDiscarded  = "discarded" // ended before anything changed
)

// Deployment is one that is under way or in doubt.
type Deployment struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	State string `json:"state"`
	ReleaseRef
	FromRef
	Actor    Actor     `json:"actor"`
	Fence    uint64    `json:"fence"`
	Started  time.Time `json:"started"`
	Deadline time.Time `json:"deadline"`        // it goes back by itself then unless confirmed or renewed
	Voted    bool      `json:"voted,omitempty"` // or rather not: it waits to be told how the other hosts decided
	Held     *Held     `json:"held,omitempty"`  // or rather not: it failed, and stays as it is until it is told to go back
}

// Held says why a deployment that failed did not go back.
type Held struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"` // what failed
}

// ResultHeld is the Result of a Record of a deployment that was held. When it
// has gone back, another Record says so.
const ResultHeld = "held"

// InstanceStatus is one container of an environment.
type InstanceStatus struct {
	Instance string `json:"instance"` // "web/1"
	ReleaseRef
	ContainerID string    `json:"container_id"`
	Name        string    `json:"name"`
	Image       string    `json:"image"` // digest
	State       string    `json:"state"` // created, running, exited, missing
	Health      string    `json:"health"`
	Serving     bool      `json:"serving"` // in rotation
	Address     string    `json:"address,omitempty"`
	Started     time.Time `json:"started,omitzero"`
	Finished    time.Time `json:"finished,omitzero"`
	HealthSince time.Time `json:"health_since,omitzero"`
	Restarts    int       `json:"restarts"`
	ExitCode    int       `json:"exit_code"`
	OOMKilled   bool      `json:"oom_killed,omitempty"`
	Reason      string    `json:"reason,omitempty"` // of the last failure, in words
}

// Values of InstanceStatus.Health.
const (
	HealthNone      = "none" // no check is configured
	HealthStarting  = "starting"
	HealthHealthy   = "healthy"
	HealthUnhealthy = "unhealthy"
)

// Lease is the right to change an environment. It ends by itself.
type Lease struct {
	Fence   uint64    `json:"fence"`
	Holder  Actor     `json:"holder"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`             // on the host's clock
	Seconds float64   `json:"seconds,omitempty"` // until then; a client whose clock is wrong uses this
}

// AcquireLease asks for a lease.
type AcquireLease struct {
	Holder Actor  `json:"holder"`
	TTL    int    `json:"ttl"`             // seconds, 2 to 300
	Fence  uint64 `json:"fence,omitempty"` // at least this number, so that all hosts of a deployment agree
	// ID is a random word of the caller's. Asking again with the ID of the
	// lease that is held repeats the answer, with Fence raised if asked.
	ID string `json:"id,omitempty"`
}

// RenewLease keeps a lease for another TTL.
type RenewLease struct {
	Fence uint64 `json:"fence"`
	TTL   int    `json:"ttl"`
}

// Freeze keeps deployments out until its end, without a live holder.
type Freeze struct {
	By     Actor     `json:"by"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"` // zero is without end
}

// Record is one line of the history of an environment on a host.
type Record struct {
	Deployment string `json:"deployment"`
	Kind       string `json:"kind"` // deploy, promote, rollback, down
	ReleaseRef
	FromRef
	Actor    Actor            `json:"actor"`
	Source   Source           `json:"source"`
	Images   map[string]Image `json:"images,omitempty"`
	Started  time.Time        `json:"started"`
	Ended    time.Time        `json:"ended"`
	Result   string           `json:"result"` // confirmed, reverted, discarded, held
	Reason   string           `json:"reason,omitempty"`
	Verified []VerifyResult   `json:"verified,omitempty"`
	Approval *Approval        `json:"approval,omitempty"`
	Skipped  []string         `json:"skipped,omitempty"`
}
