//go:build linux

package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"dray/pipeline"
	"dray/pipeline/event"
)

// crowd is hosts h1, h2, … that one sshd stands for.
func crowd(c *client, target *host, n int, jump string) []Options {
	var list []Options
	for i := range n {
		list = append(list, Options{Name: fmt.Sprintf("h%d", i+1), Address: "ssh://deploy@127.0.0.1:" + target.port,
			Jump: jump, Config: filepath.Join(c.dir, "config")})
	}
	return list
}

// dialAll dials all hosts at the same time.
func dialAll(t testing.TB, d *Dialer, hosts []Options) []*Conn {
	t.Helper()
	conns := make([]*Conn, len(hosts))
	var all sync.WaitGroup
	for i, o := range hosts {
		all.Go(func() {
			conn, err := d.Dial(t.Context(), o)
			if err != nil {
				t.Errorf("%s: %v", o.Name, err)
				return
			}
			conns[i] = conn
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return conns
}

// TestManyBehindOneJumpHost has 20 hosts behind a jump host that turns most of
// 20 connections away: they share one.
func TestManyBehindOneJumpHost(t *testing.T) {
	bastion, target, c := startHost(t, "AllowTcpForwarding local", "MaxStartups 3:30:10"), startHost(t), newClient(t)
	key := newKey(t, filepath.Join(c.dir, "id"), "")
	bastion.allow(key.PublicKey())
	target.allow(key.PublicKey())
	c.knows(bastion, bastion.hostKey.PublicKey())
	c.knows(target, target.hostKey.PublicKey())
	c.config("IdentityFile DIR/id")
	d := NewDialer()
	conns := dialAll(t, d, crowd(c, target, 20, "ssh://root@127.0.0.1:"+bastion.port))
	if n := strings.Count(bastion.log.String(), "Accepted publickey"); n != 1 {
		t.Errorf("%d connections to the jump host", n)
	}
	for i, conn := range conns[1:] {
		if err := conn.Close(); err != nil {
			t.Errorf("closing %d: %v", i, err)
		}
	}
	whoami(t, conns[0], "deploy") // the last user keeps the jump host's connection
	if err := conns[0].Close(); err != nil {
		t.Error(err)
	}
	if len(d.jumps.jumps) != 0 {
		t.Errorf("connections to jump hosts are left: %v", d.jumps.jumps)
	}
}

// TestJumpHostIsLost has a jump host's connection end: the next host gets a
// new one.
func TestJumpHostIsLost(t *testing.T) {
	bastion, target, c := startHost(t, "AllowTcpForwarding local"), startHost(t), newClient(t)
	key := newKey(t, filepath.Join(c.dir, "id"), "")
	bastion.allow(key.PublicKey())
	target.allow(key.PublicKey())
	c.knows(bastion, bastion.hostKey.PublicKey())
	c.knows(target, target.hostKey.PublicKey())
	c.config("IdentityFile DIR/id")
	d := NewDialer()
	hosts := crowd(c, target, 2, "ssh://root@127.0.0.1:"+bastion.port)
	first := dialAll(t, d, hosts[:1])[0]
	for _, j := range d.jumps.jumps {
		j.conn.end(ErrLost)
	}
	<-first.Done()
	second := dialAll(t, d, hosts[1:])[0]
	_ = first.Close()
	whoami(t, second, "deploy")
	_ = second.Close()
}

// TestFaultyJumpHost says which host is not reached, and why.
func TestFaultyJumpHost(t *testing.T) {
	target, c := startHost(t), newClient(t)
	c.config("")
	d := NewDialer()
	jump := "ssh://ops@127.0.0.1:" + freePort(t)
	var all sync.WaitGroup
	for _, o := range crowd(c, target, 5, jump) {
		all.Go(func() {
			_, err := d.Dial(t.Context(), o)
			var fault *DialError
			if !errors.As(err, &fault) || fault.Kind != KindRefused || fault.Host != o.Name {
				t.Errorf("%s: %+v", o.Name, err)
				return
			}
			if text := err.Error(); !strings.HasPrefix(text, o.Name+" (ops@") || !strings.Contains(text, "jump host 127.0.0.1: nothing listens") {
				t.Errorf("the message names only one of both: %s", text)
			}
		})
	}
	all.Wait()
}

// TestTurnedAway has an sshd that turns most of 20 connections away.
func TestTurnedAway(t *testing.T) {
	target, c := startHost(t, "MaxStartups 3:30:10"), newClient(t)
	target.allow(newKey(t, filepath.Join(c.dir, "id"), "").PublicKey())
	c.knows(target, target.hostKey.PublicKey())
	c.config("IdentityFile DIR/id")
	for _, conn := range dialAll(t, NewDialer(), crowd(c, target, 20, "")) {
		_ = conn.Close()
	}
}

// TestAlwaysTurnedAway has a host that ends every connection at once.
func TestAlwaysTurnedAway(t *testing.T) {
	c := newClient(t)
	c.config("")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var connections atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_, _ = conn.Write([]byte("Exceeded MaxStartups\r\n"))
			_ = conn.Close()
		}
	}()
	var notices []string
	d := NewDialer()
	d.retries = retries{most: 4, first: time.Millisecond, cap: time.Millisecond}
	_, err = d.Dial(t.Context(), Options{Name: "p1", Address: "ssh://" + l.Addr().String(), Config: filepath.Join(c.dir, "config"),
		Sink: event.Func(func(e event.Event) { notices = append(notices, e.Text) })})
	var fault *DialError
	if !errors.As(err, &fault) || fault.Kind != KindProtocol || !strings.Contains(err.Error(), "4 times") || !strings.Contains(pipeline.HintOf(err).Next, "MaxStartups") {
		t.Errorf("Dial: %v, hint %+v", err, pipeline.HintOf(err))
	}
	if n := connections.Load(); n != 4 {
		t.Errorf("%d connections", n)
	}
	if len(notices) != 1 || !strings.Contains(notices[0], "p1") {
		t.Errorf("notices: %q", notices)
	}
}

// TestPassphraseIsAskedOnce has many hosts want the same key, and a first
// answer that is wrong.
func TestPassphraseIsAskedOnce(t *testing.T) {
	target, c := startHost(t), newClient(t)
	target.allow(newKey(t, filepath.Join(c.dir, "id"), "open sesame").PublicKey())
	c.knows(target, target.hostKey.PublicKey())
	c.config("IdentityFile DIR/id")
	var asked, atOnce atomic.Int64
	var mu sync.Mutex
	var notices []string
	hosts := crowd(c, target, 12, "")
	for i := range hosts {
		hosts[i].Sink = event.Func(func(e event.Event) { mu.Lock(); defer mu.Unlock(); notices = append(notices, e.Text) })
		hosts[i].Passphrase = func(context.Context, string) ([]byte, error) {
			if atOnce.Add(1) > 1 {
				t.Error("two questions at the same time")
			}
			defer atOnce.Add(-1)
			if asked.Add(1) == 1 {
				return []byte("wrong"), nil
			}
			return []byte("open sesame"), nil
		}
	}
	for _, conn := range dialAll(t, NewDialer(), hosts) {
		_ = conn.Close()
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want twice: the first answer is wrong", n)
	}
	if len(notices) != 1 || !strings.Contains(notices[0], "2 of 3") {
		t.Errorf("notices: %q", notices)
	}
}

func TestWrongPassphrases(t *testing.T) {
	target, c := startHost(t), newClient(t)
	target.allow(newKey(t, filepath.Join(c.dir, "id"), "open sesame").PublicKey())
	c.knows(target, target.hostKey.PublicKey())
	c.config("IdentityFile DIR/id")
	asked := 0
	o := c.options(target, "deploy")
	o.Passphrase = func(context.Context, string) ([]byte, error) { asked++; return []byte("wrong"), nil }
	d := NewDialer()
	for range 2 {
		_, err := d.Dial(t.Context(), o)
		var fault *DialError
		if !errors.As(err, &fault) || fault.Kind != KindAuth || !strings.Contains(err.Error(), "wrong 3 times") {
			t.Errorf("Dial: %v", err)
		}
	}
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
}

// TestQuestionIsCancelled ends the question of one host: it does not answer
// for the others, and the next one asks.
func TestQuestionIsCancelled(t *testing.T) {
	target, c := startHost(t), newClient(t)
	target.allow(newKey(t, filepath.Join(c.dir, "id"), "open sesame").PublicKey())
	c.knows(target, target.hostKey.PublicKey())
	c.config("IdentityFile DIR/id")
	d := NewDialer()
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by hand")
	o := c.options(target, "deploy")
	o.Passphrase = func(ctx context.Context, _ string) ([]byte, error) {
		cancel(stopped)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if _, err := d.Dial(ctx, o); !errors.Is(err, stopped) {
		t.Errorf("cancelled Dial: %v", err)
	}
	o.Passphrase = func(context.Context, string) ([]byte, error) { return []byte("open sesame"), nil }
	conn, err := d.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	whoami(t, conn, "deploy")
	_ = conn.Close()
}

// TestSlowAnswer has a host that does not wait for the passphrase: the key is
// open when it is tried again.
func TestSlowAnswer(t *testing.T) {
	target, o := ready(t, "deploy")
	dir := filepath.Dir(o.Config)
	target.allow(newKey(t, filepath.Join(dir, "id"), "open sesame").PublicKey())
	wire := newRelay(t, "127.0.0.1:"+target.port)
	o.Address, o.Trusted = "ssh://deploy@"+wire.address, []ssh.PublicKey{target.hostKey.PublicKey()}
	o.Passphrase = func(context.Context, string) ([]byte, error) {
		wire.drop()
		return []byte("open sesame"), nil
	}
	whoami(t, mustDial(t, o), "deploy")
}

// TestDefaultKeyInAgent has a default key that is encrypted in its file and
// held by the agent, and no IdentityFile: nobody is asked.
func TestDefaultKeyInAgent(t *testing.T) {
	target, c := startHost(t), newClient(t)
	c.knows(target, target.hostKey.PublicKey())
	c.config("IdentitiesOnly yes")
	t.Setenv("HOME", c.dir)
	mkdir(t, filepath.Join(c.dir, ".ssh"))
	path := filepath.Join(c.dir, ".ssh", "id_ed25519")
	target.allow(newKey(t, path, "open sesame").PublicKey())
	raw, err := ssh.ParseRawPrivateKeyWithPassphrase([]byte(read(t, path)), []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: raw}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSH_AUTH_SOCK", serveAgent(t, keyring))
	o := c.options(target, "deploy")
	o.Passphrase = func(_ context.Context, path string) ([]byte, error) {
		t.Errorf("asked for the passphrase of %s", path)
		return nil, errors.New("not to be asked")
	}
	whoami(t, mustDial(t, o), "deploy")
}

// TestIgnoredSettingsAreNamedOnce names what is set and not used.
func TestIgnoredSettingsAreNamedOnce(t *testing.T) {
	target, c := startHost(t), newClient(t)
	target.allow(newKey(t, filepath.Join(c.dir, "id"), "").PublicKey())
	c.knows(target, target.hostKey.PublicKey())
	c.config("IdentityFile DIR/id\nControlPath DIR/%C")
	var notices []string
	o := c.options(target, "deploy")
	o.Sink = event.Func(func(e event.Event) { notices = append(notices, e.Text) })
	d := NewDialer()
	for range 2 {
		conn, err := d.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	if len(notices) != 1 || !strings.Contains(notices[0], "ControlPath") {
		t.Errorf("notices: %q", notices)
	}
}
