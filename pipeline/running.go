package pipeline

import "time"

// Running is what an environment runs, as its hosts tell it together.
type Running struct {
	Release   *Release      // nil: nothing was ever confirmed
	Differ    []string      // hosts that run another release than the others, or have one in doubt
	Paused    ReleaseNumber // a release that failed and is kept for inspection on some hosts
	Approvals []Approval    // given for this environment
	Asking    []Actor       // whom the hosts take this client for, where the gate asks for another person; one for each
	Locked    string        // who keeps deployments out, and why; "": nobody
}

// Kept is a release that was confirmed in an environment and that hosts of it
// still keep.
type Kept struct {
	Release
	Lacking []string // hosts that take part and do not keep it: they are new, or were left out
}

// Observed is what one host runs of an environment.
type Observed struct {
	Name       string           // the host's
	Current    *Release         // confirmed there; nil before the first
	Paused     ReleaseNumber    // a release that failed and is kept for inspection there
	Drift      []Drift          // sorted as the host tells it
	MemoryFree Bytes            // 0 when it is not known
	Idle       []string         // instances of Current that serve nothing now
	Send       map[string]Bytes // by image digest: bytes that the host lacks; nil when not known
	SendAll    Bytes            // of all images together: what they share travels once
}

// Drift is a difference between a host's current release and what runs there.
type Drift struct {
	Kind     string `json:"kind"` // missing, stopped, changed, extra
	Instance string `json:"instance"`
	Detail   string `json:"detail"`
}

// Evidence is what the hosts of an environment swear about a release.
type Evidence struct {
	Faults []string      // what is wrong with it, in words; empty when it holds
	Age    time.Duration // healthy on all hosts for so long, on their own clocks
}
