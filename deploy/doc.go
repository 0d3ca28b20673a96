// Package deploy brings one release onto one environment: all of its hosts,
// or none.
//
// The way through it: Connect opens a Fleet, one connection a host;
// Fleet.Observe reads what runs; Fleet.Deploy takes the lease, prepares every
// host, commits batch by batch (deploy/strategy), has the caller verify, and
// confirms; Fleet.Recover finishes what an earlier deployment left in doubt.
//
//	lease ─► recover ─► prepare ─► tasks ─► commit ─► verify ─► confirm
//	           │           │         │         │         │
//	           │           └ discard ┘         └ revert ─┘ or, with auto_revert = false, pause
//	           └ an earlier deployment, in doubt or paused
//
// Every failure is an *Error that says which of these is true: nothing has
// changed, everything went back, the release is paused as far as it came, or some
// hosts did not go back.
//
// A deployment is paused, kept for inspection, only where its own release failed,
// and only by the deployer that saw it: instances that are not healthy, a task, a
// verification, a rollout that stalls (progress). The wire calls that "hold". One that was interrupted, cut off or
// answered no goes back. Hosts that keep it stay as they are until Fleet.Abort,
// Fleet.Recover or the next deployment has them go back.
//
// Not here: what a release consists of (pipeline/run), the order of steps
// (deploy/strategy), how a host does a step (targets/agent), connections
// (deploy/ssh).
package deploy
