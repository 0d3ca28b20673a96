// Package connect is the host's end of a client's connection, and what puts
// drayd onto a host.
//
//	drayd connect            Run: stdio ─ yamux ─► the agent's socket; the peer socket ─► the client
//	drayd install            Install: an uploaded bundle becomes the current one, as a service
//	drayd uninstall          Uninstall: the service and the programs go; the state stays
//	drayd service start|stop|restart|status    the agent without a service manager
//
// The wire is described in targets/api/link, the upload in deploy/ssh. The
// agent itself is targets/agent.
package connect
