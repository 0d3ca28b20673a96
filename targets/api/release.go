package api

import "dray/pipeline"

// Version is the API's version. An agent answers requests of its own version;
// see Host.API.
const Version = 1

// The values that a release is made of are the pipeline's.
type (
	Actor    = pipeline.Actor
	Identity = pipeline.Identity
	Source   = pipeline.Source
	Image    = pipeline.ReleaseImage
	Release  = pipeline.Release

	ReleaseNumber = pipeline.ReleaseNumber
	ReleaseRef    = pipeline.ReleaseRef
	ImageSource   = pipeline.ImageSource
	VerifyResult  = pipeline.VerifyResult
	Approval      = pipeline.Approval
	Drift         = pipeline.Drift
)

// Prepare asks a host to make everything ready for a release without changing
// what serves: image pulled and unpacked, ports, disk and memory checked,
// volumes made, containers created.
type Prepare struct {
	Deployment string                   `json:"deployment"` // unique id, sorts by time
	Fence      uint64                   `json:"fence"`
	Kind       string                   `json:"kind"` // deploy, promote, rollback
	Actor      Actor                    `json:"actor"`
	Host       string                   `json:"host"` // the name of this host in the file
	Release    Release                  `json:"release"`
	Sources    map[string][]ImageSource `json:"sources,omitempty"` // by image digest
	Secrets    map[string]string        `json:"secrets,omitempty"` // version → value; kept on the host in a root-only file
}

// PrepareResult says what was made ready.
type PrepareResult struct {
	Instances []InstanceStatus `json:"instances"`
	Received  int64            `json:"received"`          // bytes that travelled to this host
	Already   bool             `json:"already,omitempty"` // this very release runs here, whole: nothing to commit
}

// Actions of a Step.
const (
	ActionStart  = "start"  // start the new containers; wait until healthy for min_healthy_time
	ActionSwitch = "switch" // new connections go to the new containers of these instances, and to no old one of them
	ActionRetire = "retire" // drain the old containers of these instances, then stop them; they are kept
	ActionStop   = "stop"   // stop the old containers of these instances first (recreate)
)

// Step is one action on some instances of this host. An instance that the new
// release no longer has is only switched (withdrawn) and retired.
type Step struct {
	Key       string   `json:"key"` // unique in the deployment; a step done before is not done again
	Action    string   `json:"action"`
	Instances []string `json:"instances"`
}

// Steps asks for steps, in order; the first that fails ends them.
type Steps struct {
	Fence uint64 `json:"fence"`
	Steps []Step `json:"steps"`
}

// StepsResult says what is true after the steps.
type StepsResult struct {
	Instances []InstanceStatus `json:"instances"`
}

// Confirm ends a deployment: the release is the current one now. Verified
// lists checks that passed on the client's side; they go into the evidence.
type Confirm struct {
	Fence    uint64         `json:"fence"`
	Verified []VerifyResult `json:"verified,omitempty"`
	Approval *Approval      `json:"approval,omitempty"`
	Skipped  []string       `json:"skipped,omitempty"` // hosts left out of this deployment
	// Vote only asks whether the host can confirm. One that has said yes does
	// not go back by itself any more, and refuses no confirmation: so all hosts
	// vote before the first one confirms.
	Vote bool `json:"vote,omitempty"`
}

// Revert ends a deployment by going back: containers of the release before
// serve again, those of the new one are removed.
type Revert struct {
	Fence  uint64 `json:"fence"`
	Reason string `json:"reason"`
}

// Hold leaves a deployment that failed as it is: its containers stay, what
// serves goes on serving, and the host does not go back by itself until Revert.
type Hold struct {
	Fence  uint64 `json:"fence"`
	Reason string `json:"reason"` // what failed
}
