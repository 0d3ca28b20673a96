// Package deploy brings one release onto one environment: all of its hosts,
// or none.
//
// The way through it: Connect opens a Fleet, one connection a host;
// Fleet.Observe reads what runs; Fleet.Deploy takes the lease, prepares every
// host, commits batch by batch (deploy/strategy), has the caller verify, and
// confirms; Fleet.Recover finishes what an earlier deployment left in doubt.
//
//	lease ─► settle ─► prepare ─► tasks ─► commit ─► verify ─► confirm
//	           │          │         │         │         │
//	           │          └ discard ┘         └ revert ─┘ or, with auto_revert = false, hold
//	           └ an earlier deployment, in doubt or held
//
// Every failure is an *Error that says which of these is true: nothing has
// changed, everything went back, the release is held as far as it came, or some
// hosts did not go back.
//
// A deployment is held only where its own release failed, and only by the
// deployer that saw it: instances that are not healthy, a task, a verification, a
// rollout that comes to a stand (progress). One that was interrupted, cut off or
// answered no goes back. Hosts that hold it stay as they are until Fleet.TakeBack,
// Fleet.Recover or the next deployment has them go back.
//
// Not here: what a release consists of (pipeline/run), the order of steps
// (deploy/strategy), how a host does a step (targets/agent), connections
// (deploy/ssh).
package deploy
