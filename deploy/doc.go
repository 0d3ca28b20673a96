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
//	           │          └ discard ┘         └ revert ─┘
//	           └ an earlier deployment, in doubt
//
// Every failure is an *Error that says which of three things is true: nothing
// has changed, everything went back, or some hosts did not go back.
//
// Not here: what a release consists of (pipeline/run), the order of steps
// (deploy/strategy), how a host does a step (targets/agent), connections
// (deploy/ssh).
package deploy
