package access

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"dray/targets/api"
)

// connection is who is at the other end of one connection to the socket.
type connection struct {
	root bool // the process that opened it is root's

	mu       sync.Mutex
	told     bool // somebody has said who is there; or it was used without
	identity api.Identity
	role     api.Role
}

type connectionKey struct{}

// Connection is an http.Server's ConnContext: it asks the kernel who opened the
// connection. Source: unix(7), SO_PEERCRED.
func Connection(ctx context.Context, conn net.Conn) context.Context {
	c := &connection{role: api.Admin()}
	if socket, ok := conn.(*net.UnixConn); ok {
		uid, err := peerUser(socket)
		c.root = err == nil && uid == 0
		if err != nil {
			c.role = api.Role{} // nobody knows who that is
		} else {
			c.identity.Account = accountName(uid)
		}
	}
	return context.WithValue(ctx, connectionKey{}, c)
}

func peerUser(conn *net.UnixConn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) { peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, asked
	}
	return peer.Uid, nil
}

// accountName is the name of a user of this host, or its number.
func accountName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return number
}

// Of returns who is taken to be at the other end of a request's connection. A
// server without Connection gives nobody, who may do nothing.
func Of(ctx context.Context) (api.Identity, api.Role) {
	c, ok := ctx.Value(connectionKey{}).(*connection)
	if !ok {
		return api.Identity{}, api.Role{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = true // from here on it is somebody
	return c.identity, c.role
}

// Identities answers api.RouteIdentify and api.RouteIdentity, also while the agent
// is not up, and passes everything else on.
func Identities(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(api.RouteIdentify, identify)
	mux.HandleFunc(api.RouteIdentity, func(w http.ResponseWriter, r *http.Request) {
		by, err := api.ActorOf(r)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		by.Identity, _ = Of(r.Context())
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(by) // a client that is gone needs no answer
	})
	mux.Handle("/", next)
	return mux
}

const largestIdentity = 16 << 10 // bytes

// identify takes the word of drayd connect for who its client is: of a root
// process, and as the first request of a connection only.
func identify(w http.ResponseWriter, r *http.Request) {
	var told api.Identity
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, largestIdentity)).Decode(&told); err != nil {
		refuse(w, http.StatusBadRequest, api.Errorf(api.CodeBadRequest, "reading the identity: %v", err))
		return
	}
	role := api.Admin()
	if told.Role != "" {
		var err error
		if role, err = api.ParseRole(told.Role); err != nil {
			refuse(w, http.StatusBadRequest, api.Errorf(api.CodeBadRequest, "%v", err))
			return
		}
	}
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok || !c.take(told, role) {
		refuse(w, http.StatusForbidden, api.Errorf(api.CodeForbidden, "who asks on this connection is known already; drayd connect says so, once"))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// take makes the connection's identity the one that was told, unless it may not be.
func (c *connection) take(told api.Identity, role api.Role) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.root || c.told {
		return false
	}
	c.told, c.identity, c.role = true, told, role
	return true
}

func refuse(w http.ResponseWriter, status int, fault error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(fault) // a client that is gone needs no answer
}
