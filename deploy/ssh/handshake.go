package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// handshake connects to a hop, through the one before it unless that is nil,
// checks its host key and logs in.
func (r *route) handshake(ctx context.Context, hop *endpoint, through *Conn) (*Conn, error) {
	var trusted []ssh.PublicKey
	if !hop.onTheWay {
		trusted = r.options.Trusted
	}
	verifier, err := newHostKeyVerifier(ctx, hop, trusted)
	if err != nil {
		return nil, hop.fault(KindAddress, err.Error(), "make the file readable, or correct the SSH configuration", err)
	}
	raw, err := hop.open(ctx, through)
	if err != nil {
		return nil, err
	}
	l := &login{route: r, hop: hop, wire: &countingConn{Conn: raw}, verifier: verifier}
	client, err := l.run(ctx)
	if err != nil {
		_ = raw.Close() // the handshake's error is the one to tell
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, l.explain(err)
	}
	return newConn(hop, client, l.wire), nil
}

// login is one handshake with a hop.
type login struct {
	route    *route
	hop      *endpoint
	wire     *countingConn
	verifier *hostKeyVerifier
	auth     authentication

	timer    *time.Timer // ends the handshake; it stands still while a person is asked
	verified bool        // the host key was accepted
	asked    bool        // for a passphrase
}

// loginTime is how long a login may take once the host's key is accepted: a
// person may have to touch a security key.
const loginTime = time.Minute

func (l *login) run(ctx context.Context) (*ssh.Client, error) {
	var end sync.Once
	timedOut := false
	l.timer = time.AfterFunc(l.hop.timeout, func() {
		end.Do(func() { timedOut = true; _ = l.wire.Close() })
	})
	defer l.timer.Stop()
	defer context.AfterFunc(ctx, func() { _ = l.wire.Close() })()
	l.auth.unlock = func(path string, text []byte) (ssh.Signer, error) { return l.unlock(ctx, path, text) }
	defer l.auth.close()
	var hostKey error
	config := &ssh.ClientConfig{
		Config:            l.hop.algorithms,
		User:              l.hop.user,
		Auth:              l.auth.methods(l.hop),
		ClientVersion:     clientVersion,
		HostKeyAlgorithms: l.verifier.algorithms(),
		HostKeyCallback: func(address string, remote net.Addr, key ssh.PublicKey) error {
			if hostKey = l.verifier.check(ctx, address, remote, key); hostKey == nil {
				l.verified = true
				l.timer.Reset(loginTime)
			}
			return hostKey
		},
	}
	conn, channels, requests, err := ssh.NewClientConn(l.wire, l.hop.address(), config)
	end.Do(func() {}) // from here on the timer does nothing, and timedOut keeps its value
	switch {
	case hostKey != nil:
		return nil, hostKey
	case timedOut:
		return nil, context.DeadlineExceeded
	case err != nil && isCut(err) && (!l.verified || l.asked):
		return nil, &droppedError{err: err, asked: l.asked}
	case err != nil:
		return nil, err
	}
	return ssh.NewClient(conn, channels, requests), nil
}

const clientVersion = "SSH-2.0-dray"

// unlock opens an encrypted key. The handshake's time does not pass meanwhile.
func (l *login) unlock(ctx context.Context, path string, text []byte) (ssh.Signer, error) {
	l.timer.Stop()
	defer l.timer.Reset(loginTime)
	l.asked = l.route.options.Passphrase != nil
	return l.route.dialer.keys.open(ctx, question{path: path, text: text, ask: l.route.options.Passphrase, note: l.route.note})
}

// explain makes a DialError of the handshake's error.
func (l *login) explain(err error) error {
	fault := l.hop.handshakeError(err, &l.auth)
	if proxy, ok := l.wire.Conn.(*proxyConn); ok && fault.Kind == KindProtocol {
		fault.Detail = fmt.Sprintf("its ProxyCommand gave no SSH connection: %s", cmp.Or(proxy.stderr.String(), err.Error()))
		fault.Next = "try the ProxyCommand of ~/.ssh/config by hand"
		var dropped *droppedError
		if errors.As(err, &dropped) {
			fault.Err = dropped.err // the command's fault: trying again does not help
		}
	}
	return fault
}

// open makes the way to the endpoint for the bytes.
func (e *endpoint) open(ctx context.Context, through *Conn) (net.Conn, error) {
	if through != nil {
		ctx, cancel := context.WithTimeout(ctx, e.timeout)
		defer cancel()
		conn, err := through.client.DialContext(ctx, "tcp", e.address())
		if err != nil {
			return nil, e.jumpError(through, err)
		}
		return conn, nil
	}
	if e.proxy != "" {
		return e.dialProxy(e.proxy)
	}
	for n := 1; ; n++ {
		conn, err := e.dialTCP(ctx)
		if err == nil {
			return acknowledgeQuickly(conn), nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if n >= e.attempts {
			return nil, e.dialError(err)
		}
		if err := (retries{first: time.Second, cap: time.Second}).wait(ctx, 1); err != nil {
			return nil, err
		}
	}
}

// dialTCP connects from the address or the interface that the configuration
// names.
func (e *endpoint) dialTCP(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	from := e.bindAddress
	if from == "" && e.bindInterface != "" {
		var err error
		if from, err = interfaceAddress(e.bindInterface, e.network); err != nil {
			return nil, err
		}
	}
	if from != "" {
		local, err := net.ResolveTCPAddr(e.network, net.JoinHostPort(from, "0"))
		if err != nil {
			return nil, fmt.Errorf("binding to %s: %w", from, err)
		}
		dialer.LocalAddr = local
	}
	return dialer.DialContext(ctx, e.network, e.address())
}

// interfaceAddress returns an address of an interface that fits the network.
func interfaceAddress(name, network string) (string, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return "", fmt.Errorf("binding to interface %s: %w", name, err)
	}
	addresses, err := link.Addrs()
	if err != nil {
		return "", fmt.Errorf("binding to interface %s: %w", name, err)
	}
	for _, a := range addresses {
		own, ok := a.(*net.IPNet)
		if !ok || own.IP.IsLinkLocalUnicast() || network == "tcp4" && own.IP.To4() == nil || network == "tcp6" && own.IP.To4() != nil {
			continue
		}
		return own.IP.String(), nil
	}
	return "", fmt.Errorf("binding to interface %s: it has no address that fits", name)
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
