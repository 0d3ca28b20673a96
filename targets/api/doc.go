// Package api is the wire between a client and the agent of a host: the types
// of /dray/v1/, and a Client that takes a dialer.
//
// What operates single containers is not here: that is the Docker Engine API
// (github.com/moby/moby/api), served beside /dray/v1/ on the same socket.
//
// # A deployment, as the agent sees it
//
//	POST   …/environments/{env}/lease                 Acquire  → Lease (fence)
//	PUT    …/environments/{env}/lease                 Renew
//	POST   …/environments/{env}/deployments           Prepare  → events, then PrepareResult
//	POST   …/environments/{env}/deployments/{id}/steps   Steps → events, then StepsResult
//	POST   …/environments/{env}/deployments/{id}/confirm Confirm
//	POST   …/environments/{env}/deployments/{id}/revert  Revert → events
//	POST   …/environments/{env}/deployments/{id}/hold    Hold → Environment
//	DELETE …/environments/{env}/lease                 ReleaseLease
//	GET    …/environments/{env}                       Environment
//
// with … = /dray/v1/projects/{project}; paths.go lists every route. Every call after Acquire carries the
// fencing number of the lease. A call with a lower number than the host has
// seen is refused with CodeFenced, so a holder that was presumed dead can't
// interfere with its successor. Every call is idempotent: repeating it after a
// cut connection gives the same end.
//
// Calls that take long answer 200 at once with a stream of JSON lines, each a
// StreamLine: events, then exactly one result or error.
//
// States of a deployment on a host; each is journalled before it is entered:
//
//	preparing ─► prepared ─► committing ─► committed ─► confirmed
//	    │            │            │             │
//	    └─ discarded ┴            └─ reverting ─┴─► reverted
//
//	prepared, committing, committed ── hold ─► the same, held ── revert ─► as above
//
// Until "committing" nothing that serves has changed. From "committing" on,
// the agent goes back by itself when the lease has ended and the deployment
// was not confirmed. Two things keep it from that: a vote for a confirmation
// (Confirm.Vote), and Hold, by which a holder leaves a failed deployment as it
// is, for people to look at. A held one stays in its state (prepared,
// committing or committed) until Revert ends it; no step can be taken, and it
// can't be confirmed.
package api
