package ssh

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// ScanHostKeys asks a host for its keys, ED25519 before the others, without
// logging in. Nobody has confirmed them: show them before using them. Jump
// hosts on the way are verified and logged in to as always.
func (d *Dialer) ScanHostKeys(ctx context.Context, o Options) ([]HostKey, error) {
	r, err := d.route(ctx, o)
	if err != nil {
		return nil, err
	}
	through, release, err := r.through(ctx, len(r.hops)-1)
	if err != nil {
		return nil, err
	}
	defer release()
	var keys []HostKey
	var failure error
	for _, algorithms := range [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	} {
		err := r.persist(ctx, r.target(), func() error {
			key, err := r.target().scan(ctx, through, algorithms)
			if err == nil {
				keys = append(keys, *key)
			}
			return err
		})
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil && failure == nil {
			failure = err
		}
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
	var found *HostKey
	_, _, _, err = ssh.NewClientConn(raw, e.address(), &ssh.ClientConfig{
		Config: e.algorithms, User: e.user, ClientVersion: clientVersion, HostKeyAlgorithms: algorithms,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			found = &HostKey{Host: e.name, Address: e.address(), Key: key}
			return errSeen
		},
	})
	if found != nil {
		return found, nil
	}
	if isCut(err) {
		err = &droppedError{err: err}
	}
	return nil, e.handshakeError(err, &authentication{})
}
