// Package runtime runs containers on a host: it turns an image's configuration
// and a Spec into an OCI bundle, has a shim start it with an OCI runtime, and
// keeps the state of each on disk.
//
// The way through it: Engine.Create makes the writable layer, the network
// endpoint, the bundle, the shim and the created process; Engine.Start lets the
// process go; the shim reaps it and writes its exit down; Engine.Run watches
// the shims and tells those who subscribed.
//
// Not here: pulling images (targets/store), addresses and ports
// (targets/network), restarting and health (targets/supervise), log files
// (targets/logs), what should run (targets/agent).
package runtime
