package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/crypto/ssh"

	"dray/targets/api"
	"dray/targets/api/link"
)

// fakeHost is an SSH server whose drayd answers as a test says. That the real
// ones do so is tried with real hosts (testenv); here a question must come up,
// and stand, on cue.
type fakeHost struct {
	t        *testing.T
	address  string // HOST:PORT
	hostKey  ssh.Signer
	evidence ed25519.PrivateKey
	routes   *http.ServeMux

	mu    sync.Mutex
	calls []string
}

func startFakeHost(t *testing.T) *fakeHost {
	t.Helper()
	h := &fakeHost{t: t, hostKey: signer(t, newKey(t)), evidence: newKey(t), routes: http.NewServeMux()}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() { h.serve(ctx, conn) })
		}
	})
	t.Cleanup(func() { cancel(); listener.Close(); work.Wait() })
	return h
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signer(t *testing.T, key ed25519.PrivateKey) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve speaks SSH with any key, until either side ends.
func (h *fakeHost) serve(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	config.AddHostKey(h.hostKey)
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return // who only looks at the key ends here
	}
	go grant(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go h.session(channel, requests)
	}
}

// grant says yes to everything: keepalives, variables.
func grant(requests <-chan *ssh.Request) {
	for r := range requests {
		_ = r.Reply(true, nil)
	}
}

// session takes whatever is run for drayd connect.
func (h *fakeHost) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	for r := range requests {
		_ = r.Reply(true, nil)
		if r.Type == "exec" {
			go grant(requests)
			break
		}
	}
	defer channel.Close()
	if _, err := io.WriteString(channel, link.Preface+"\n"); err != nil {
		return
	}
	mux, err := link.Server(channel)
	if err != nil {
		return
	}
	control, err := mux.Accept()
	if err != nil {
		return
	}
	if err := link.WriteHello(control, link.Hello{V: link.Protocol, Version: "1.0.0", API: api.Version, Arch: "none", Peer: "/run/peer.sock"}); err != nil {
		return
	}
	server := &http.Server{Handler: http.HandlerFunc(h.record)}
	defer server.Close()
	_ = server.Serve(streamListener{mux}) // ends with the connection
}

func (h *fakeHost) record(w http.ResponseWriter, r *http.Request) {
	_, pattern := h.routes.Handler(r)
	h.mu.Lock()
	h.calls = append(h.calls, pattern)
	h.mu.Unlock()
	h.routes.ServeHTTP(w, r)
}

// was tells whether a route was called.
func (h *fakeHost) was(route string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.calls {
		if c == route {
			return true
		}
	}
	return false
}

// says lets a route answer with a value.
func (h *fakeHost) says(route string, value any) {
	h.routes.HandleFunc(route, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(value) })
}

// loses lets a route answer that somebody else holds a newer lease.
func (h *fakeHost) loses(route string) {
	h.routes.HandleFunc(route, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(api.Status(api.CodeFenced))
		_ = json.NewEncoder(w).Encode(api.Errorf(api.CodeFenced, "the lease is not the newest any more"))
	})
}

// streams lets a route end its stream with a value, after wait, which is nil or
// may take its time.
func (h *fakeHost) streams(route string, value any, wait func(context.Context)) {
	h.routes.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		if wait != nil {
			wait(r.Context())
		}
		result, err := json.Marshal(value)
		if err != nil {
			h.t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(api.StreamLine{Result: result})
	})
}

type streamListener struct{ *link.Mux }

// Accept waits for the client's next stream.
func (l streamListener) Accept() (net.Conn, error) {
	stream, err := l.Mux.Accept()
	if err != nil {
		return nil, err
	}
	return link.NewStream(stream), nil
}

// project writes a project whose host p1 is h into a new folder: a key, the
// host's key in known_hosts unless it is a stranger, and the rest of dray.hcl.
func (h *fakeHost) project(passphrase string, stranger bool, rest string) (dir string) {
	h.t.Helper()
	dir = h.t.TempDir()
	block, err := ssh.MarshalPrivateKey(newKey(h.t), "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(newKey(h.t), "", []byte(passphrase))
	}
	if err != nil {
		h.t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(h.address)
	if err != nil {
		h.t.Fatal(err)
	}
	known := fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(h.hostKey.PublicKey()))
	if stranger {
		known = ""
	}
	for name, content := range map[string]string{
		".ssh/id_ed25519":  string(pem.EncodeToMemory(block)),
		".ssh/known_hosts": known,
		"dray.hcl":         fmt.Sprintf("project = \"shop\"\nhost \"p1\" { address = \"ssh://deploy@%s\" }\n", h.address) + rest,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	return dir
}

// swear answers with the host's signed statement that a release ran healthy.
func (h *fakeHost) swear(w http.ResponseWriter, r api.Release) {
	statement := api.Evidence{Type: api.StatementType, PredicateType: api.EvidenceType}
	for _, image := range r.Images {
		statement.Subject = append(statement.Subject, api.EvidenceSubject{Name: image.Name, Digest: map[string]string{"sha256": strings.TrimPrefix(image.Digest, "sha256:")}})
	}
	statement.Predicate = api.EvidencePredicate{
		Project: r.Project, Environment: r.Environment, ReleaseRef: api.RefTo(r.ReleaseNumber()), Host: "p1",
		Configuration: r.ContentHash(), Images: r.Images, HealthySince: time.Now().Add(-time.Hour), Confirmed: time.Now(),
		Instances: []api.EvidenceInstance{{Instance: "web/1", Image: r.Images["web"].Digest}},
	}
	body, err := json.Marshal(statement)
	if err != nil {
		h.t.Error(err)
	}
	signer, err := dsse.NewEnvelopeSigner(agentKey{h.evidence})
	if err != nil {
		h.t.Error(err)
		return
	}
	envelope, err := signer.SignPayload(context.Background(), api.EvidencePayload, body)
	if err != nil {
		h.t.Error(err)
	}
	_ = json.NewEncoder(w).Encode(envelope)
}

// agentKey signs as an agent does.
type agentKey struct{ key ed25519.PrivateKey }

func (k agentKey) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(k.key, data), nil
}

func (k agentKey) Verify(context.Context, []byte, []byte) error { return nil }

func (k agentKey) KeyID() (string, error) { return api.KeyID(k.key.Public().(ed25519.PublicKey)), nil }

func (k agentKey) Public() crypto.PublicKey { return k.key.Public() }
