// Package ssh reaches hosts: it dials, checks host keys, passes jump hosts,
// brings drayd onto a host that lacks it, and gives streams in both directions
// over the one connection.
//
//	Dialer    Options ─► *Conn          TCP, jump hosts, host key, authentication
//	Local     ─► *Machine               this machine, the same interface (Transport)
//	Connect   Transport ─► *Session     drayd connect on stdio; installs drayd first if it must
//	Session   DialAgent, ServePeer      streams to the agent, and from it
//
// What OpenSSH's client would do is the model: the configuration (which ssh -G
// resolves, see config.go), the agent, keys, certificates, known_hosts,
// ProxyJump. Nothing is sent to a host whose key is not known. It is not a
// general SSH client: no passwords, no forwarding, no terminals.
//
// A Dialer serves a whole run: hosts behind one jump host share its connection
// (jump.go), and a passphrase is asked for once (keyring.go).
//
// The wire of a Session is described in targets/api/link.
package ssh
