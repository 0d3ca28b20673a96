package pipeline

import "strings"

// Actor says who asks, for leases, history and audit: what the client says of
// itself, and beside it what the host saw.
type Actor struct {
	User     string   `json:"user"`
	Machine  string   `json:"machine"`
	Command  string   `json:"command"` // "dray ship"
	Identity Identity `json:"identity,omitzero"`
}

// Identity is who a host saw at the other end of a connection. The host's agent
// sets it; what a client sends in its place is dropped.
type Identity struct {
	Account     string `json:"account,omitempty"`     // of the host, that logged in there
	Key         string `json:"key,omitempty"`         // SHA256:…, as ssh-keygen prints it: the SSH key that logged in
	Certificate string `json:"certificate,omitempty"` // key ID of the SSH certificate
	Address     string `json:"address,omitempty"`     // of the client, as sshd saw it
	Role        string `json:"role,omitempty"`        // what the connection may do; "" is everything
}

// Known tells whether the host saw anybody: agents of older versions did not look.
func (i Identity) Known() bool { return i != Identity{} }

// shownKey is how much of a key's name people are shown: "SHA256:" and 12 characters.
const shownKey = len("SHA256:") + 12

// Who names the actor for people: "mira", or with what the host saw "deploy (says
// mira) via key SHA256:0mH2…".
func (a Actor) Who() string {
	i := a.Identity
	who := a.User
	if i.Account != "" && i.Account != a.User {
		who = i.Account
		if a.User != "" {
			who += " (says " + a.User + ")"
		}
	}
	switch {
	case i.Certificate != "":
		who += " via certificate " + strings.ToValidUTF8(i.Certificate, "?")
	case i.Key != "":
		who += " via key " + i.Key[:min(shownKey, len(i.Key))]
	}
	return who
}

// SamePerson tells whether two actors came with the same key. Where the host did
// not see the key of both, nobody can tell, and known is false.
func (a Actor) SamePerson(b Actor) (same, known bool) {
	x, y := a.Identity, b.Identity
	if x.Certificate != "" && y.Certificate != "" && x.Certificate == y.Certificate {
		return true, true // keys of certificates come and go
	}
	return x.Key == y.Key, x.Key != "" && y.Key != ""
}
