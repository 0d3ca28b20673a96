// Package agent is the daemon of a host: it takes releases through /dray/v1/,
// journals what it is about to do, and brings the host there, or back.
//
// The way through it: New opens the state, Handler serves the calls, Run
// brings the host to what the journal says and works until its context ends.
// A call on an environment waits for its turn and holds the newest lease
// (operations), changes the journal (Agent.amend, Agent.change), and only then
// has an effect through one of the Parts. What nobody asks for any more, reconcile
// does: it is the one loop of an environment (reconcile.go).
//
// # A deployment on this host
//
//	            POST deployments                steps               confirm
//	 (none) ──► preparing ──► prepared ──► committing ──► committed ──► confirmed
//	               │             │             │              │
//	               └─────────────┤             └──────┬───────┘
//	                             │ revert,            │ revert, or: the lease ended
//	                             │ or lease ended     ▼
//	                             ▼                reverting ──► reverted
//	                         discarded
//
//	prepared, committing, committed ── hold ──► the same, held: only revert leads on
//
//	preparing   image, ports, network, secrets, volumes, containers are made; nothing serves from them
//	prepared    all of that is there
//	committing  steps: start, switch, retire, stop
//	committed   every instance placed here runs and serves; nothing else serves
//	held        it failed, and its file says not to go back: all stays as it is, for people to look at
//	confirmed   its release is the current one; what it replaced is kept, stopped
//	reverting   old containers start, are healthy, serve; then the new ones drain, stop and go
//
// A release is confirmed only when the host shows it: the kernel is told the
// rotation, ports and names once more, and read back (reconcileTraffic). So a
// release that changes nothing but published ports goes the same way without a
// step.
//
// # What survives a crash
//
// The state is one bbolt file; a commit is an fsync. Every state above is on
// disk before its effects begin, every effect may be repeated, and what an
// effect made can be found without the state: containers carry the deployment
// that made them as a label. After a start:
//
//	preparing, prepared    wait for the holder while its lease lasts, then are discarded
//	committing, committed  wait for the holder while its lease lasts, then go back
//	reverting              goes on
//	held                   stays, whatever the lease does
//	confirmed              old containers that still run are retired, what is not kept is dropped
//
// Runs of tasks, and those by hand, go on without an agent, and the next one
// takes them up (adopt.go). A run's end is on disk before its container goes:
// until then, the container is what knows how it ended. A run of a hook ends with
// its deployer's lease, as ever.
//
// So a deployment ends with its holder: at the end of a lease (releasing it
// counts), or ConfirmIn after its last renewal, whichever comes first, what is
// not confirmed goes back. A lease lives on the monotonic clock; after a
// restart of the agent the wall clock bounds it, for at most one TTL.
//
// Where a release has several hosts, all of them vote before the first one
// confirms (api.Confirm). A host that has voted yes can't know whether another
// one has confirmed already, so it does not go back by itself: it stays as it
// is, says so, and waits to be told, for which one command is enough.
//
// A deployment that failed is held only when its holder says so, while it still
// has the lease (api.Hold). One whose holder is gone goes back, whatever its
// file says: nobody has looked at it.
//
// A client that goes away during a call ends nothing: the call runs on the
// agent's own context to its end, or until the lease ends. Repeating it waits
// for its turn, finds what is done, and gives the same answer.
//
// # Which container runs for an instance
//
// A container carries a fingerprint of all that it depends on
// (pipeline.Release.ContainerFingerprint). Prepare takes the container that
// runs, if its fingerprint is that of the new release; otherwise one that an
// earlier release left stopped; otherwise it makes one. That is why a deployment
// replaces only what has changed, why a rollback needs neither registry nor
// build, and why a release may share containers with the one before.
//
// # Decisions
//
// 2026-11-22: retiring (draining and stopping old containers) runs beside
// other steps and does not keep a release from being confirmed; what is left
// is finished afterwards. An idle connection would otherwise hold up every
// rollout for the whole drain time.
//
// 2026-11-22: a container that can't answer leaves the rotation only while
// another one of its service can. An empty rotation helps nobody.
//
// Not here: what the parts do (targets/store, runtime, network, supervise,
// volume), how they are put together (assembly), and the Docker Engine API
// (engineapi).
package agent
