package access_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"dray/targets/agent/access"
	"dray/targets/api"
)

// socket serves identities on a real socket, and refuses everything else that the
// role look does not allow.
func socket(t *testing.T) func() net.Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: access.Identities(http.NotFoundHandler()), ConnContext: access.Connection, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return func() net.Conn {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
}

// taken is whom the agent takes a connection for. The client claims to be anna,
// and to have an identity.
func taken(t *testing.T, conn net.Conn) api.Actor {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.BaseURL+"/dray/v1/identity", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(api.ActorHeader, `{"user":"anna","identity":{"account":"root","key":"SHA256:forged"}}`)
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var got api.Actor
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestWhoOpensTheSocket: a process that opens the socket itself is taken for its
// user, whatever it says of itself.
func TestWhoOpensTheSocket(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	got := taken(t, socket(t)())
	if want := (api.Actor{User: "anna", Identity: api.Identity{Account: me.Username}}); got != want {
		t.Errorf("it is taken for %+v, want %+v", got, want)
	}
}

// TestIdentityIsToldOnce: drayd connect, which is root, says who its client is
// before anything of the client comes; nothing on the connection changes it then.
func TestIdentityIsToldOnce(t *testing.T) {
	dial := socket(t)
	told := api.Identity{Account: "deploy", Key: "SHA256:real", Address: "192.0.2.7", Role: "deploy:stage"}
	conn := dial()
	err := api.Identify(conn, told)
	if os.Geteuid() != 0 {
		if err == nil {
			t.Error("a process that is not root's said who is there")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Identify(conn, api.Identity{Account: "anna", Role: "admin"}); err == nil {
		t.Error("who is there was said twice")
	}
	if got := taken(t, conn); got.Identity != told {
		t.Errorf("it is taken for %+v, want %+v", got.Identity, told)
	}
	if err := api.Identify(dial(), api.Identity{Role: "everything"}); err == nil {
		t.Error("a role that does not exist was taken")
	}
	if _, role := access.Of(t.Context()); role.May(api.RightLook, "", "") {
		t.Error("a request that came over no connection may look")
	}
}
