//go:build linux

package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dray/deploy/bundle"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/connect"
)

// stand is the stand-in for drayd, built once.
var stand = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "dray-stand-in-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/drayd", "./testdata/drayd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

// bundleOf makes a bundle of the stand-in, told apart by mark.
func bundleOf(t testing.TB, mark string) *bundle.Bundle {
	t.Helper()
	built, err := stand()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(built+"/drayd", dir+"/drayd"); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/dray-oci", mark)
	var archive bytes.Buffer
	record, err := bundle.Make(&archive, "amd64", dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	return record.Bundle(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
}

func finds(b *bundle.Bundle) bundle.Func {
	return func(arch string) (*bundle.Bundle, error) {
		if b == nil || arch != b.Arch {
			return nil, fmt.Errorf("no bundle for %s: %w", arch, fs.ErrNotExist)
		}
		return b, nil
	}
}

// cleanHost removes dray from this namespace before and after a test.
func cleanHost(t testing.TB) {
	t.Helper()
	clean := func() {
		if err := connect.Uninstall(context.Background(), connect.UninstallOptions{Purge: true}); err != nil {
			t.Error(err)
		}
	}
	clean()
	t.Cleanup(clean)
}

// mustConnect connects over a new connection and closes at the test's end.
func mustConnect(t testing.TB, o Options, find bundle.Func) *Session {
	t.Helper()
	s, err := Connect(t.Context(), mustDial(t, o), find, ConnectOptions{}, event.Discard)
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func agentOf(t testing.TB, s *Session) *api.Host {
	t.Helper()
	host, err := api.NewClient(s.DialAgent, api.Actor{User: "mira"}).Host(t.Context())
	if err != nil {
		t.Fatalf("asking the agent: %v", err)
	}
	return host
}

func TestBootstrap(t *testing.T) {
	for _, user := range []string{"root", "deploy"} {
		t.Run(user, func(t *testing.T) {
			cleanHost(t)
			_, o := ready(t, user)
			b := bundleOf(t, "one")
			var seen []event.Event
			conn := mustDial(t, o)
			s, err := Connect(t.Context(), conn, finds(b), ConnectOptions{}, event.Func(func(e event.Event) { seen = append(seen, e) }))
			if err != nil {
				t.Fatalf("Connect: %v", err)
			}
			host := agentOf(t, s)
			if want := filepath.Join("/var/lib/dray/bin", b.Hex(), "drayd"); host.Hostname != want {
				t.Errorf("the agent runs from %s, not %s", host.Hostname, want)
			}
			if s.Hello.Bundle != b.Digest || s.Hello.API != api.Version {
				t.Errorf("Hello: %+v", s.Hello)
			}
			if len(seen) < 3 || seen[0].State != event.Installing || seen[len(seen)-1].State != event.Ready || seen[0].Host != "p1" {
				t.Errorf("events: %+v", seen)
			}
			if !connect.StartsAtBoot() {
				t.Error("the agent does not start at boot")
			}
			peer := s.PeerSocket()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			eventually(t, "the peer socket is removed", func() bool { _, err := os.Stat(peer); return errors.Is(err, fs.ErrNotExist) })

			// Again: nothing is installed, and the agent is the same one.
			seen = nil
			conn = mustDial(t, o)
			s, err = Connect(t.Context(), conn, finds(b), ConnectOptions{}, event.Func(func(e event.Event) { seen = append(seen, e) }))
			if err != nil || len(seen) != 0 {
				t.Fatalf("Connect again: %v %v", err, seen)
			}
			if again := agentOf(t, s); again.ID != host.ID {
				t.Errorf("the agent was started anew")
			}
			_ = s.Close()
		})
	}
}

func TestLocal(t *testing.T) {
	cleanHost(t)
	b := bundleOf(t, "local")
	s, err := Connect(t.Context(), Local("local"), finds(b), ConnectOptions{}, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	agentOf(t, s)
	begun := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("Close took %s", took)
	}
	if s.Err() != nil {
		t.Errorf("Err after Close: %v", s.Err())
	}
}

func TestUpgrade(t *testing.T) {
	cleanHost(t)
	_, o := ready(t, "deploy")
	one, two := bundleOf(t, "one"), bundleOf(t, "two")
	first := agentOf(t, mustConnect(t, o, finds(one)))
	s := mustConnect(t, o, finds(two))
	second := agentOf(t, s)
	if s.Hello.Bundle != two.Digest || second.ID == first.ID || !strings.Contains(second.Hostname, two.Hex()) {
		t.Errorf("not upgraded: %+v, agent %+v", s.Hello, second)
	}
	sent := s.Stats().Sent
	s = mustConnect(t, o, finds(one)) // back: it is still there, so it is not sent
	if s.Hello.Bundle != one.Digest || s.Stats().Sent > sent/2 {
		t.Errorf("going back sent %d bytes, hello %+v", s.Stats().Sent, s.Hello)
	}
	s = mustConnect(t, o, finds(nil)) // a client without a bundle makes do
	agentOf(t, s)
}

func TestTwoInstallAtOnce(t *testing.T) {
	cleanHost(t)
	_, o := ready(t, "deploy")
	b := bundleOf(t, "one")
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			conn, err := NewDialer().Dial(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			s, err := Connect(t.Context(), conn, finds(b), ConnectOptions{}, event.Discard)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if s.Hello.Bundle != b.Digest {
				t.Errorf("Hello: %+v", s.Hello)
			}
		})
	}
	clients.Wait()
	left, err := filepath.Glob("/var/lib/dray/bin/.new-*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestHalfClose(t *testing.T) {
	cleanHost(t)
	_, o := ready(t, "deploy")
	s := mustConnect(t, o, finds(bundleOf(t, "one")))
	client, base := api.NewClient(s.DialAgent, api.Actor{}).HTTP()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/reverse", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "tcp")
	resp, err := client.Do(req)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrading: %v %v", resp, err)
	}
	defer resp.Body.Close()
	stream, ok := resp.Body.(interface {
		io.ReadWriteCloser
		CloseWrite() error
	})
	if !ok {
		t.Fatalf("%T has no CloseWrite", resp.Body)
	}
	if _, err := io.WriteString(stream, "stressed"); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(stream)
	if err != nil || string(text) != "desserts" {
		t.Errorf("after CloseWrite came %q, %v", text, err)
	}
}

func TestPeer(t *testing.T) {
	cleanHost(t)
	_, o := ready(t, "deploy")
	s := mustConnect(t, o, finds(bundleOf(t, "one")))
	get := func(path string) (int, string) {
		client, base := api.NewClient(s.DialAgent, api.Actor{}).HTTP()
		resp, err := client.Get(base + "/peer?socket=" + s.PeerSocket() + "&path=" + path)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return resp.StatusCode, string(text)
	}
	if code, _ := get("/v2/"); code != http.StatusServiceUnavailable {
		t.Errorf("before ServePeer: %d", code)
	}
	s.ServePeer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "layer "+r.URL.Path) }))
	var pulls sync.WaitGroup
	for i := range 100 { // more than are served at once
		pulls.Go(func() {
			if code, text := get(fmt.Sprintf("/v2/%d", i)); code != 200 || text != fmt.Sprintf("layer /v2/%d", i) {
				t.Errorf("pull %d: %d %q", i, code, text)
			}
		})
	}
	pulls.Wait()
	if info, err := os.Stat(s.PeerSocket()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the peer socket: %v %v", info, err)
	}
}

// TestAgentDies kills the agent under a session: the next request gets a new
// one.
func TestAgentDies(t *testing.T) {
	cleanHost(t)
	_, o := ready(t, "deploy")
	s := mustConnect(t, o, finds(bundleOf(t, "one")))
	first := agentOf(t, s)
	var pid int
	if _, err := fmt.Sscan(first.ID, &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	client := api.NewClient(s.DialAgent, api.Actor{})
	eventually(t, "another agent answers", func() bool {
		host, err := client.Host(t.Context())
		return err == nil && host.ID != first.ID
	})
}

// TestCutInTheMiddle cuts the wire while bytes are on their way.
func TestCutInTheMiddle(t *testing.T) {
	cleanHost(t)
	h, o := ready(t, "deploy")
	b := bundleOf(t, "one")
	if err := Install(t, b); err != nil {
		t.Fatal(err)
	}
	wire := newRelay(t, "127.0.0.1:"+h.port)
	o.Address, o.KeepAlive = "ssh://deploy@"+wire.address, 100*time.Millisecond
	o.Trusted = append(o.Trusted, h.hostKey.PublicKey())
	s := mustConnect(t, o, finds(b))
	client, base := api.NewClient(s.DialAgent, api.Actor{}).HTTP()
	resp, err := client.Get(base + "/bytes?n=1000000000")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 10<<20); err != nil {
		t.Fatal(err)
	}
	wire.cut()
	begun := time.Now()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("a cut transfer ended without an error after %d bytes", n)
	}
	<-s.Done()
	if !errors.Is(s.Err(), ErrLost) || !strings.Contains(s.Err().Error(), "p1") {
		t.Errorf("Err: %v", s.Err())
	}
	if _, err := s.DialAgent(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("DialAgent afterwards: %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("noticed after %s", took)
	}
}

// TestSlowLink keeps a link busy that is so slow that a question for a sign of
// life waits for longer than silence is forgiven.
func TestSlowLink(t *testing.T) {
	cleanHost(t)
	h, o := ready(t, "deploy")
	b := bundleOf(t, "one")
	if err := Install(t, b); err != nil {
		t.Fatal(err)
	}
	wire := newRelay(t, "127.0.0.1:"+h.port)
	o.Address, o.KeepAlive = "ssh://deploy@"+wire.address, 200*time.Millisecond
	o.Trusted = append(o.Trusted, h.hostKey.PublicKey())
	s := mustConnect(t, o, finds(b))
	wire.rate.Store(512 << 10)
	client, base := api.NewClient(s.DialAgent, api.Actor{}).HTTP()
	resp, err := client.Post(base+"/bytes", "", io.LimitReader(zeroes{}, 3<<20))
	if err != nil {
		t.Fatalf("%v; session: %v", err, s.Err())
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != fmt.Sprintf("%d <nil>", 3<<20) {
		t.Errorf("%q %v", text, err)
	}
}

func eventually(t testing.TB, what string, true func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !true() {
		if time.Now().After(deadline) {
			t.Fatalf("not so within 10 s: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
