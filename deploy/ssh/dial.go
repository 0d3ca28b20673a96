package ssh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Dial connects to a host and logs in. It runs nothing there. A failure is a
// *DialError. ctx bounds the dialling alone: the Conn lives until Close, so
// that what must be cleaned up after a cancellation still can be.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	hops, err := plan(&o)
	if err != nil {
		return nil, err
	}
	var through *Conn
	for i, hop := range hops {
		conn, err := hop.connect(ctx, through, i == len(hops)-1)
		if err != nil {
			if through != nil {
				_ = through.Close() // the error before is the one to tell
			}
			return nil, err
		}
		through = conn
	}
	return through, nil
}

const mostHops = 8

// plan returns the hops to a host, itself last.
func plan(o *Options) ([]*endpoint, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	bad := func(err error) error {
		return &DialError{Host: or(o.Name, o.Address), Address: o.Address, Kind: KindAddress, Detail: err.Error(),
			Next: "correct the host's address in the file, or ~/.ssh/config", Err: err}
	}
	config, err := readConfig(o.Config)
	if err != nil {
		return nil, bad(err)
	}
	target, err := resolve(o.Address, config, o)
	if err != nil {
		return nil, bad(err)
	}
	target.name = or(o.Name, target.alias)
	hops := []*endpoint{target}
	jump := or(o.Jump, target.jump)
	for jump != "" && jump != "none" {
		var nearer []*endpoint
		for address := range strings.SplitSeq(jump, ",") {
			hop, err := resolve(address, config, &Options{Name: address, Passphrase: o.Passphrase, Timeout: o.Timeout, KeepAlive: o.KeepAlive})
			if err != nil {
				return nil, bad(fmt.Errorf("jump host: %w", err))
			}
			nearer = append(nearer, hop)
		}
		hops = append(nearer, hops...)
		if len(hops) > mostHops {
			return nil, bad(fmt.Errorf("more than %d jump hosts: does ProxyJump go round in a circle?", mostHops-1))
		}
		jump = nearer[0].jump
	}
	return hops, nil
}

// connect makes one hop, through the hop before it unless that is nil.
func (e *endpoint) connect(ctx context.Context, through *Conn, last bool) (*Conn, error) {
	var trusted []ssh.PublicKey
	if e.onTheWay = !last; last {
		trusted = e.options.Trusted
	}
	judge, err := newJudge(e, trusted)
	if err != nil {
		return nil, e.fault(KindAddress, err.Error(), "make the file readable", err)
	}
	raw, err := e.open(ctx, through)
	if err != nil {
		return nil, err
	}
	wire := &countingConn{Conn: raw}
	a := &authentication{}
	defer a.close()
	client, err := e.handshake(ctx, wire, judge, a)
	if err != nil {
		_ = raw.Close() // the handshake's error is the one to tell
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		fault := e.handshakeError(err, a)
		if proxy, ok := raw.(*proxyConn); ok && fault.Kind == KindProtocol {
			fault.Detail = fmt.Sprintf("its ProxyCommand gave no SSH connection: %s", or(proxy.said.String(), err.Error()))
			fault.Next = "try the ProxyCommand of ~/.ssh/config by hand"
		}
		return nil, fault
	}
	return newConn(e, client, wire, through), nil
}

// open makes the bytes' way to the endpoint.
func (e *endpoint) open(ctx context.Context, through *Conn) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	if through != nil {
		conn, err := through.client.DialContext(ctx, "tcp", e.address())
		if err != nil {
			return nil, e.jumpError(through, err)
		}
		return conn, nil
	}
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	if e.proxy != "" && e.proxy != "none" {
		return e.dialProxy(e.expand(e.proxy))
	}
	conn, err := dialer.DialContext(ctx, "tcp", e.address())
	if err != nil {
		return nil, e.dialError(err)
	}
	return acknowledgeQuickly(conn), nil
}

// jumpError explains why a jump host does not reach the next hop.
func (e *endpoint) jumpError(through *Conn, err error) *DialError {
	var refused *ssh.OpenChannelError
	switch {
	case errors.As(err, &refused) && refused.Reason == ssh.Prohibited:
		return e.fault(KindJump, fmt.Sprintf("jump host %s forwards no connections", through.address),
			"its sshd_config needs AllowTcpForwarding yes (or local) for this user", err)
	case errors.As(err, &refused):
		return e.fault(KindJump, fmt.Sprintf("jump host %s can not reach it: %s", through.address, refused.Message),
			"is the host up, and does the jump host know that address?", err)
	case errors.Is(err, context.DeadlineExceeded):
		return e.fault(KindTimeout, fmt.Sprintf("no answer within %s through jump host %s", e.timeout, through.address),
			"is the host up, and does a firewall let the jump host through?", err)
	}
	return e.fault(KindJump, fmt.Sprintf("through jump host %s: %v", through.address, err), "ssh -J shows more", err)
}

// loginTime is how long a login may take once the host's key is accepted: a
// person may have to touch a security key.
const loginTime = time.Minute

// handshake checks the host's key and logs in.
func (e *endpoint) handshake(ctx context.Context, wire net.Conn, j *judge, a *authentication) (*ssh.Client, error) {
	var late sync.Once
	timedOut := false
	giveUp := func() { late.Do(func() { timedOut = true; _ = wire.Close() }) }
	timer := time.AfterFunc(e.timeout, giveUp)
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { _ = wire.Close() })()
	var hostKey error
	config := &ssh.ClientConfig{
		User:              e.user,
		Auth:              a.methods(e),
		ClientVersion:     "SSH-2.0-dray",
		HostKeyAlgorithms: j.algorithms(),
		HostKeyCallback: func(address string, remote net.Addr, key ssh.PublicKey) error {
			hostKey = j.check(address, remote, key)
			if hostKey == nil {
				timer.Reset(loginTime)
			}
			return hostKey
		},
	}
	conn, channels, requests, err := ssh.NewClientConn(wire, e.address(), config)
	late.Do(func() {}) // from here on the timer does nothing, and timedOut is settled
	switch {
	case hostKey != nil:
		return nil, hostKey
	case timedOut:
		return nil, context.DeadlineExceeded
	case err != nil:
		return nil, err
	}
	return ssh.NewClient(conn, channels, requests), nil
}

// ScanHostKeys asks a host for its keys, ED25519 before the others, without logging in.
// Nobody has confirmed them: show them before using them. Jump hosts on the
// way are verified and logged in to as always.
func ScanHostKeys(ctx context.Context, o Options) ([]HostKey, error) {
	hops, err := plan(&o)
	if err != nil {
		return nil, err
	}
	target := hops[len(hops)-1]
	var through *Conn
	for _, hop := range hops[:len(hops)-1] {
		next, err := hop.connect(ctx, through, false)
		if err != nil {
			if through != nil {
				_ = through.Close()
			}
			return nil, err
		}
		through = next
	}
	if through != nil {
		defer func() { _ = through.Close() }()
	}
	var keys []HostKey
	var failure error
	for _, algorithms := range [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	} {
		key, err := target.scan(ctx, through, algorithms)
		if err != nil {
			if failure == nil {
				failure = err
			}
			continue
		}
		keys = append(keys, *key)
	}
	if len(keys) == 0 {
		return nil, failure
	}
	return keys, nil
}

var errSeen = errors.New("key seen")

// scan gets the key of one kind, and leaves before logging in.
func (e *endpoint) scan(ctx context.Context, through *Conn, algorithms []string) (*HostKey, error) {
	raw, err := e.open(ctx, through)
	if err != nil {
		return nil, err
	}
	defer func() { _ = raw.Close() }()
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	timer := time.AfterFunc(e.timeout, func() { _ = raw.Close() })
	defer timer.Stop()
	judge := &judge{endpoint: e, name: knownName(e)}
	var found *HostKey
	_, _, _, err = ssh.NewClientConn(raw, e.address(), &ssh.ClientConfig{
		User: e.user, ClientVersion: "SSH-2.0-dray", HostKeyAlgorithms: algorithms,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			h := judge.hostKey(key)
			found = &h
			return errSeen
		},
	})
	if found != nil {
		return found, nil
	}
	return nil, e.handshakeError(err, &authentication{})
}

// countingConn counts bytes.
type countingConn struct {
	net.Conn
	counter
}

// Read counts.
func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

// Write counts.
func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}
