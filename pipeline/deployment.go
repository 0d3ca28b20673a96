package pipeline

import (
	"context"
	"time"
)

// Kinds of deployment.
const (
	KindDeploy   = "deploy"
	KindPromote  = "promote"
	KindRollback = "rollback"
	KindRecover  = "recover" // what all had agreed on is brought to hosts that missed it
)

// Deployment asks for one release to be brought onto one environment.
type Deployment struct {
	Kind string
	// Release has a Placement where it was there before. Otherwise it gets one,
	// and a revision; Number 0 is the next one of the environment.
	Release  Release
	Secrets  map[string]string // version → value
	Approval *Approval
	// Origin is an open environment that runs these images: its hosts give the
	// bytes that this machine has not got. None: "".
	Origin string
	// Base is the release that ran when this one was chosen. Where another one
	// runs by the time of the lease, the choice is stale and refused. None: any.
	Base ReleaseNumber
	// Expect is asked under the lease, before anything changes, whether a release,
	// under the name and in the places that it would have, may come onto hosts that
	// run this. Its error refuses the deployment. Nil: whatever comes.
	Expect func(release Release, hosts []Observed) error
	// Verify runs the environment's checks after the rollout; an error brings
	// every host back. Nil: there is nothing to verify.
	Verify func(ctx context.Context, release Release) ([]VerifyResult, error)
	// Continue answers whether a canary may go on to all instances. Nil: nobody
	// can be asked, and what would ask is refused before anything has changed.
	Continue func(ctx context.Context, reason string) error
}

// Deployed says what a deployment has done.
type Deployed struct {
	Release   Release
	From      ReleaseNumber    // the release before
	Unchanged bool             // this very release ran already
	Changed   int              // instances that were replaced or added
	Removed   int              // instances that ended
	Received  map[string]int64 // bytes that travelled, by host
}

// Approval is a person's yes to a release entering an environment under that
// name, and with that content: a digest, see Release.ApprovalHash.
type Approval struct {
	ReleaseRef
	Content string    `json:"content"`
	By      Actor     `json:"by"`
	At      time.Time `json:"at"`
}

// VerifyResult is one verify block's outcome.
type VerifyResult struct {
	Name   string    `json:"name"`
	Passed bool      `json:"passed"`
	At     time.Time `json:"at"`
}

// ImageSource is one place to have image bytes from; they are tried in order.
type ImageSource struct {
	// Kind is "peer" (a registry handler that the client serves over its own
	// connection; Address is the path of the unix socket on the host) or
	// "registry" (Address is the repository, "registry.example.com/shop/web").
	Kind     string `json:"kind"`
	Address  string `json:"address"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"` // used in memory only
	Insecure bool   `json:"insecure,omitempty"` // plain HTTP
}

// Statement is what a host signed about a release: a DSSE envelope.
type Statement struct {
	Host     string
	Type     string // media type of what is signed
	Envelope []byte
}
