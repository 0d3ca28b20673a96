// Package connect is the host's end of a client's connection, and what puts
// drayd onto a host.
//
//	drayd connect            Run: stdio ─ yamux ─► the agent's socket; the peer socket ─► the client
//	drayd install            Install: an uploaded bundle becomes the current one, as a service
//	drayd uninstall          Uninstall: the service and the programs go; the state stays
//	drayd keep               Keep: the agent's parent on a host without a service manager
//	drayd service VERB       Service: start, stop, restart, status of the agent there
//
// The wire is described in targets/api/link, the upload in deploy/ssh. The
// agent itself is targets/agent.
package connect
