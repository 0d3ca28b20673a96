package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// Routes by which a connection says who is at its other end, and by which a
// client asks for whom it is taken:
//
//	RouteIdentify  Identity → 204; of drayd connect, once, before the client's first byte
//	RouteIdentity  -        → Actor: the request's, with the identity that goes into history
const (
	RouteIdentify = "PUT " + prefix + "/identity"
	RouteIdentity = "GET " + prefix + "/identity"
)

// ErrNoIdentities is an agent of a version that asks nobody who they are.
var ErrNoIdentities = errors.New("the agent is older than roles and identities")

// Identify tells an agent over a new connection who is at the other end of it.
// All that follows on the connection is taken as from there.
func Identify(conn net.Conn, i Identity) error {
	body, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("writing the identity: %w", err)
	}
	r, err := http.NewRequest(http.MethodPut, BaseURL+prefix+"/identity", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("writing the identity: %w", err)
	}
	if err := r.Write(conn); err != nil {
		return fmt.Errorf("telling the agent who is there: %w", err)
	}
	// Nothing but the answer comes before the client asks.
	answer, err := http.ReadResponse(bufio.NewReader(conn), r) //nolint:bodyclose // drain closes it
	if err != nil {
		return fmt.Errorf("telling the agent who is there: %w", err)
	}
	defer drain(answer.Body)
	switch answer.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusNotFound, http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return ErrNoIdentities
	}
	return fmt.Errorf("telling the agent who is there: %w", readError(answer, r.Method, r.URL.Path))
}

// Stamped is a request that carries actors. SeenAs replaces their identities by
// the one that the agent saw.
type Stamped interface{ SeenAs(i Identity) }

// SeenAs implements Stamped.
func (r *AcquireLease) SeenAs(i Identity) { r.Holder.Identity = i }

// SeenAs implements Stamped. Who made the release is the client's word.
func (r *Prepare) SeenAs(i Identity) { r.Actor.Identity, r.Release.By.Identity = i, Identity{} }

// SeenAs implements Stamped.
func (r *Down) SeenAs(i Identity) { r.Actor.Identity = i }

// SeenAs implements Stamped.
func (r *RunTask) SeenAs(i Identity) { r.Actor.Identity = i }

// SeenAs implements Stamped. Who approved is looked up, not taken from the client.
func (r *Confirm) SeenAs(Identity) {
	if r.Approval != nil {
		r.Approval.By.Identity = Identity{}
	}
}
