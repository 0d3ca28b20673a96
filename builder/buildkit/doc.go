// Package buildkit builds targets with BuildKit, and is the only importer of
// it. It speaks BuildKit's client protocol to a builder at an address
// (BUILDKIT_HOST), or to this user's own.
//
//	Connect ─► Client.Build ─► Solve: Dockerfile frontend, contexts, secrets
//	   │                          │
//	   │ no address               └─► session: files up, blobs down into the
//	   ▼                              image store, which is the same wherever
//	 Ensure: server.json ─ socket     the build ran
//	   │ nothing answers
//	   └─► process "dray builder serve" ─► ServeDetached ─► Serve: lock, worker,
//	       controller, two sockets; ends when idle
//
// The embedded server is one a user (one an Embedded.Dir): the process that
// gets the lock serves, the others connect to it. A server with other settings
// or of another dray is replaced when nobody is connected to it.
//
// Steps run in the machine's network namespace unless they ask for none, on
// the OCI runtime that hosts use too. Layers are normalised when they are made
// (see builder.LayerTime and layerDiffer); another BuildKit is asked for its
// own rewriting instead, which costs it time at every export.
//
// Not here: what a build promises (builder), pushing and serving images
// (builder/registry), choosing what to build (pipeline/run).
package buildkit
