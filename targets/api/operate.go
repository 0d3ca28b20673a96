package api

import (
	"time"

	"dray/pipeline"
)

// SetFreeze keeps deployments out of an environment until it is taken away or
// has ended.
type SetFreeze struct {
	Reason  string            `json:"reason"`
	For     pipeline.Duration `json:"for,omitempty"`     // 0 is without end
	Replace bool              `json:"replace,omitempty"` // a freeze that is on, also somebody else's or for another reason
}

// Approve says that a release may enter the environment under that name, and
// with that content. Who says so is the request's Actor.
type Approve struct {
	ReleaseRef
	Content string `json:"content"` // see Approval
}

// Down removes an environment from a host: its containers, network and
// releases. Its volumes stay unless Volumes is set; its history stays always.
type Down struct {
	ID      string `json:"id,omitempty"` // in the history; one for all hosts
	Fence   uint64 `json:"fence"`
	Actor   Actor  `json:"actor"`
	Volumes bool   `json:"volumes,omitempty"`
}

// DownResult says what was removed.
type DownResult struct {
	Containers []string `json:"containers"` // names
	Volumes    []string `json:"volumes,omitempty"`
	Kept       []string `json:"kept,omitempty"` // volumes that stay
}

// Prune asks a host to drop what no release needs.
type Prune struct {
	DryRun bool `json:"dry_run,omitempty"`
}

// PruneResult says what was dropped.
type PruneResult struct {
	Blobs     int   `json:"blobs"`
	Snapshots int   `json:"snapshots"`
	Bytes     int64 `json:"bytes"`
}

// RunTask asks for one run of a task, in the environment's network. Its output
// comes as events of type output while it runs.
type RunTask struct {
	Fence      uint64   `json:"fence,omitempty"`      // of the deployment that it belongs to; 0 by hand
	Deployment string   `json:"deployment,omitempty"` // a prepared deployment whose release is meant; otherwise the current one
	Actor      Actor    `json:"actor"`
	Command    []string `json:"command,omitempty"` // instead of the task's
	Key        string   `json:"key,omitempty"`     // a run with this key, under way or ended, is answered, not repeated
	Seen       int      `json:"seen,omitempty"`    // lines of its output that an earlier call has passed already
}

// Reasons why a task ran.
const (
	TaskByHook     = "hook"
	TaskBySchedule = "schedule"
	TaskByHand     = "hand"
)

// TaskRun is one run of a task. A run whose ExitCode is not 0 is a result, not
// an error: an error means that the task could not be run at all.
type TaskRun struct {
	ID   string `json:"id"`
	Task string `json:"task"`
	ReleaseRef
	Trigger  string    `json:"trigger"`
	Actor    Actor     `json:"actor,omitzero"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"` // zero: it runs
	ExitCode int       `json:"exit_code"`
	TimedOut bool      `json:"timed_out,omitempty"`
	Reason   string    `json:"reason,omitempty"` // why it failed, in words
	Logs     []string  `json:"logs,omitempty"`   // the last lines that it wrote
}

// TaskStatus is a task of the current release on this host.
type TaskStatus struct {
	Name string    `json:"name"`
	Next time.Time `json:"next,omitzero"` // when its schedule runs it
	Runs []TaskRun `json:"runs,omitempty"`
}
