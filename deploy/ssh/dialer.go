package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"dray/pipeline/event"
)

// Dialer makes the connections of one run of dray. What they have in common is
// done once: a connection to a jump host, the question for a passphrase, a
// notice about the configuration. It is safe for concurrent use.
type Dialer struct {
	ssh     *sshProgram
	keys    *keyring
	jumps   jumpPool
	retries retries

	mu    sync.Mutex
	noted map[string]bool // keywords that a notice has named
}

// NewDialer returns a Dialer that has no connection yet.
func NewDialer() *Dialer {
	return &Dialer{ssh: findSSH(), keys: newKeyring(), retries: usualRetries, noted: map[string]bool{}}
}

// Options says which host to reach, and how.
type Options struct {
	Name    string // the host's name in the file, for messages; Address's by default
	Address string // ssh://[user@]host[:port], [user@]host[:port], or a Host alias of the SSH configuration
	Jump    string // jump hosts, separated by commas, nearest first; the configuration's ProxyJump by default; "none"
	Config  string // path of the SSH configuration; see EnvConfig

	// Trusted are host keys that dray.lock.hcl has for this host. When there
	// are any, known_hosts is not asked.
	Trusted []ssh.PublicKey

	// Passphrase is asked for the passphrase of an encrypted key, when a
	// server accepts that key: once a file, one question at a time, and up to
	// three times when the answer is wrong. It must return when ctx ends.
	// Without it such a key must be in the agent.
	Passphrase func(ctx context.Context, keyFile string) ([]byte, error)

	// Sink is told what a person should know of a connection that is made all
	// the same; event.Discard by default.
	Sink event.Sink

	Timeout   time.Duration // for each hop's connection and handshake; ConnectTimeout or 10s by default
	KeepAlive time.Duration // a peer that sends nothing is asked this often; ServerAliveInterval or 3s by default. It is given up after ServerAliveCountMax times that, at least 1s
}

// Dial connects to a host and logs in. It runs nothing there. A failure is a
// *DialError. ctx bounds the dialling alone: the Conn lives until Close, so
// that what must be cleaned up after a cancellation still can be.
func (d *Dialer) Dial(ctx context.Context, o Options) (*Conn, error) {
	r, err := d.route(ctx, o)
	if err != nil {
		return nil, err
	}
	return r.dial(ctx, len(r.hops)-1)
}

// route is the way to one host.
type route struct {
	dialer  *Dialer
	options Options
	hops    []*endpoint // jump hosts, nearest first, and the host itself
}

const mostHops = 8

// route asks the configuration for the way to a host.
func (d *Dialer) route(ctx context.Context, o Options) (*route, error) {
	if o.Sink == nil {
		o.Sink = event.Discard
	}
	r := &route{dialer: d, options: o}
	bad := func(err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &DialError{Host: cmp.Or(o.Name, o.Address), Address: o.Address, Kind: KindAddress, Detail: err.Error(),
			Next: "correct the host's address in the file, or ~/.ssh/config", Err: err}
	}
	config, err := openConfig(o.Config, d.ssh)
	if err != nil {
		return nil, bad(err)
	}
	target, err := resolve(ctx, o.Address, config, &o)
	if err != nil {
		return nil, bad(err)
	}
	target.name = cmp.Or(o.Name, target.alias)
	r.hops = []*endpoint{target}
	jump := cmp.Or(o.Jump, target.jump)
	if o.Jump == "" && target.proxy != "" {
		jump = ""
	}
	if jump != "" && jump != "none" {
		target.proxy = ""
	}
	for jump != "" && jump != "none" {
		var nearer []*endpoint
		for address := range strings.SplitSeq(jump, ",") {
			hop, err := resolve(ctx, address, config, &o)
			if err != nil {
				return nil, bad(fmt.Errorf("jump host: %w", err))
			}
			hop.onTheWay = true
			nearer = append(nearer, hop)
		}
		for _, hop := range nearer[1:] {
			hop.proxy = "" // it is reached through the one before it
		}
		r.hops = append(nearer, r.hops...)
		if len(r.hops) > mostHops {
			return nil, bad(fmt.Errorf("more than %d jump hosts: does ProxyJump go round in a circle?", mostHops-1))
		}
		jump = nearer[0].jump
	}
	r.noteIgnored()
	return r, nil
}

// noteIgnored names, once each, the settings that dray does not use.
func (r *route) noteIgnored() {
	r.dialer.mu.Lock()
	defer r.dialer.mu.Unlock()
	for _, hop := range r.hops {
		var names []string
		for _, name := range hop.ignored {
			if !r.dialer.noted[name] {
				r.dialer.noted[name] = true
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			r.note(fmt.Sprintf("dray does not use %s, which the SSH configuration sets for %s", strings.Join(names, ", "), hop.alias))
		}
	}
}

// note tells something about the host.
func (r *route) note(text string) {
	r.options.Sink.Emit(event.Event{Type: event.Notice, Host: r.target().name, Text: text})
}

func (r *route) target() *endpoint { return r.hops[len(r.hops)-1] }

// dial connects to hop number n, through those before it.
func (r *route) dial(ctx context.Context, n int) (*Conn, error) {
	through, release, err := r.through(ctx, n)
	if err != nil {
		return nil, err
	}
	conn, err := r.connect(ctx, r.hops[n], through)
	if err != nil {
		release()
		return nil, err
	}
	conn.release = release
	return conn, nil
}

// through returns the connection to the jump host before hop number n, or nil
// when there is none. It is shared; release lets go of it.
func (r *route) through(ctx context.Context, n int) (through *Conn, release func(), err error) {
	if n == 0 {
		return nil, func() {}, nil
	}
	through, release, err = r.dialer.jumps.acquire(ctx, r.key(n), func() (*Conn, error) { return r.dial(ctx, n-1) })
	return through, release, r.behind(err)
}

// key tells the ways over the first n hops apart.
func (r *route) key(n int) string {
	var parts []string
	for _, hop := range r.hops[:n] {
		parts = append(parts, hop.login(), hop.alias, hop.proxy)
	}
	return strings.Join(append(parts, r.options.Config), "\n")
}

// behind names the host that a jump host's fault keeps from being reached.
func (r *route) behind(err error) error {
	var fault *DialError
	if !errors.As(err, &fault) {
		return err
	}
	own := *fault
	own.Host, own.Jump = r.target().name, cmp.Or(fault.Jump, fault.Host)
	return &own
}

// connect makes one hop.
func (r *route) connect(ctx context.Context, hop *endpoint, through *Conn) (conn *Conn, err error) {
	err = r.persist(ctx, hop, func() error {
		conn, err = r.handshake(ctx, hop, through)
		return err
	})
	return conn, err
}

// persist tries again while a host turns connections away because too many
// come at once.
func (r *route) persist(ctx context.Context, hop *endpoint, connect func() error) error {
	begun := time.Now()
	for n := 1; ; n++ {
		err := connect()
		var dropped *droppedError
		if !errors.As(err, &dropped) {
			return err
		}
		if n == r.dialer.retries.most {
			var fault *DialError
			if errors.As(err, &fault) {
				fault.Detail += fmt.Sprintf(" (%d times within %s)", n, time.Since(begun).Round(time.Second))
			}
			return err
		}
		if dropped.asked {
			continue // the key is open by now
		}
		if n == 2 {
			r.note(hop.name + " turns connections away, as sshd does beyond its MaxStartups; trying again")
		}
		if err := r.dialer.retries.wait(ctx, n); err != nil {
			return err
		}
	}
}
