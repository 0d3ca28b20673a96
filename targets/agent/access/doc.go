// Package access is who asks on the agent's socket, and whether they may.
//
//	accept ──► Connection: the peer's credentials, from the kernel
//	PUT /dray/v1/identity, by drayd connect ──► Connection: account, key, role
//	every other request ──► Guard: its route's right, against the connection's role ──► the agent
//
// A process that opens the socket itself is root, as the socket's mode says, and
// has the role admin; drayd connect gives its client the role that it was started
// with. A client's bytes come after drayd connect's, so it can change neither.
//
// Not here: what the words of a role mean (targets/api), and how drayd connect
// finds out who its client is (targets/connect).
package access
