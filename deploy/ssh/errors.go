package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"dray/pipeline"
)

// Kinds of DialError: what kept a host from being reached.
const (
	KindAddress  = "address"  // what the file or the SSH configuration says makes no sense
	KindResolve  = "resolve"  // the name has no address
	KindRefused  = "refused"  // nothing listens there
	KindTimeout  = "timeout"  // no answer in time
	KindNetwork  = "network"  // no way to there
	KindHostKey  = "host_key" // Err is a HostKeyUnknownError, HostKeyChangedError or HostKeyRevokedError
	KindAuth     = "auth"     // the host accepts none of the keys
	KindProtocol = "protocol" // what answers does not speak SSH as it should
	KindJump     = "jump"     // the jump host does not let through
)

// DialError is why a host could not be reached. Nothing was changed on it.
type DialError struct {
	Host    string // the host's name in the file
	Jump    string // the jump host on the way that is at fault, or ""
	Address string // user@host:port that was tried
	Kind    string
	Detail  string // in words
	Next    string // what to do, one line
	Err     error
}

// Error is "HOST (ADDRESS): REASON". The error of a host key speaks for itself.
func (e *DialError) Error() string {
	var key hostKeyError
	switch own := errors.As(e.Err, &key); {
	case own && e.Jump != "":
		return fmt.Sprintf("%s (behind jump host %s): %s", e.Host, e.Jump, key.Error())
	case own:
		return key.Error()
	case e.Jump != "":
		return fmt.Sprintf("%s (%s): jump host %s: %s", e.Host, e.Address, e.Jump, e.Detail)
	}
	return fmt.Sprintf("%s (%s): %s", e.Host, e.Address, e.Detail)
}

// Hint says what to do next.
func (e *DialError) Hint() pipeline.Hint {
	return pipeline.Hint{Conclusion: "Nothing was sent.", Next: e.Next}
}

// Unwrap returns the error below.
func (e *DialError) Unwrap() error { return e.Err }

// HostKeyUnknownError is a host whose key nobody has confirmed.
type HostKeyUnknownError struct {
	HostKey
	Others []string // keys of other types that are known for it
	Files  []string // known_hosts files that were read
}

// Error shows the fingerprint and the command that accepts it.
func (e *HostKeyUnknownError) Error() string {
	text := fmt.Sprintf("%s (%s) shows a host key that nobody has confirmed:\n%s %s  (not in ~/.ssh/known_hosts nor in %s)",
		e.Host, e.Address, e.Type(), e.Fingerprint(), LockFile)
	if len(e.Others) > 0 {
		text += "\nKnown for it are keys of other kinds: " + strings.Join(e.Others, ", ")
	}
	return text + fmt.Sprintf("\nNothing was sent. Compare it with the host's console, then: %s", e.accept())
}

// HostKeyChangedError is a host that shows another key than the known one.
type HostKeyChangedError struct {
	HostKey
	Known string // fingerprint of the known key
	Where string // FILE:LINE of it
}

// Error is loud: this is what an attack in the middle looks like.
func (e *HostKeyChangedError) Error() string {
	return fmt.Sprintf(`THE HOST KEY OF %s (%s) HAS CHANGED. Someone may be listening in between, or the host was set up anew.
shown  %s %s
known  %s  (%s)
Nothing was sent. If the host was set up anew, compare the shown key with its console, then: %s`,
		e.Host, e.Address, e.Type(), e.Fingerprint(), e.Known, e.Where, e.accept("--replace"))
}

// hostKeyError is an error about a host's key: one of HostKeyUnknownError,
// HostKeyChangedError and HostKeyRevokedError.
type hostKeyError interface {
	error
	next() string // what has the key accepted, where anything may
}

func (e *HostKeyUnknownError) next() string { return e.accept() }

func (e *HostKeyChangedError) next() string { return e.accept("--replace") }

func (e *HostKeyRevokedError) next() string {
	return "give the host another key: this one must not be used"
}

// HostKeyRevokedError is a key or certificate that must not be used.
type HostKeyRevokedError struct {
	HostKey
	Where string // FILE:LINE, or why the certificate is not valid
}

// Error names the key and the reason.
func (e *HostKeyRevokedError) Error() string {
	return fmt.Sprintf("%s (%s) shows a host key that is not valid: %s %s (%s)\nNothing was sent.",
		e.Host, e.Address, e.Type(), e.Fingerprint(), e.Where)
}

// ErrLost is why a connection that was made ended by itself.
var ErrLost = errors.New("the connection was lost")

// dialError explains an error of a TCP connection.
func (e *endpoint) dialError(err error) *DialError {
	d := e.fault(KindNetwork, err.Error(), "check the network, then: ssh "+e.login(), err)
	var dns *net.DNSError
	var netErr net.Error
	switch {
	case errors.As(err, &dns):
		d.Kind, d.Detail = KindResolve, fmt.Sprintf("no address is known for the name %q", e.host)
		d.Next = "correct the host's address in the file, or give it a HostName in ~/.ssh/config"
	case errors.Is(err, syscall.ECONNREFUSED):
		d.Kind, d.Detail = KindRefused, "nothing listens on port "+e.port
		d.Next = "is sshd running there, on that port? ssh://user@host:PORT names another"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		d.Kind, d.Detail = KindTimeout, fmt.Sprintf("no answer within %s", e.timeout)
		d.Next = "is the host up, and does a firewall let port " + e.port + " through?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		d.Detail = "there is no route to it"
	}
	return d
}

// handshakeError explains an error of the SSH handshake.
func (e *endpoint) handshakeError(err error, a *authentication) *DialError {
	var netErr net.Error
	var key hostKeyError
	var dropped *droppedError
	switch {
	case errors.As(err, &key):
		return e.fault(KindHostKey, err.Error(), key.next(), err)
	case a.fault != nil:
		return e.fault(KindAuth, a.fault.Error(), a.next(e), a.fault)
	case strings.Contains(err.Error(), "unable to authenticate"), strings.Contains(err.Error(), "Too many authentication failures"):
		return e.fault(KindAuth, fmt.Sprintf("%s accepts none of the keys for user %s: %s", e.host, e.user, a.tried()), a.next(e), err)
	case errors.As(err, &netErr) && netErr.Timeout():
		return e.fault(KindTimeout, fmt.Sprintf("port %s is open, but no SSH answer came within %s", e.port, e.timeout), "is that port really sshd's?", err)
	case errors.As(err, &dropped) && !dropped.asked:
		return e.fault(KindProtocol, "the host ended the connection before it had shown its key",
			"look at sshd's log there; MaxStartups or a ban (fail2ban) may be the reason", err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return e.fault(KindProtocol, "the host ended the connection during the handshake",
			"look at sshd's log there; MaxStartups or a ban may be the reason", err)
	}
	return e.fault(KindProtocol, err.Error(), "ssh -v "+e.login()+" shows both sides of the handshake", err)
}

func (e *endpoint) fault(kind, detail, next string, err error) *DialError {
	return &DialError{Host: e.name, Address: e.login(), Kind: kind, Detail: detail, Next: next, Err: err}
}
