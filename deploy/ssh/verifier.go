package ssh

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// hostKeyVerifier decides whether a hop's host key is the right one.
type hostKeyVerifier struct {
	endpoint *endpoint
	name     string     // "host" or "[host]:port", as known_hosts has it
	known    []knownKey // of that name
	bare     []knownKey // of the name without the port, used where known has no answer
	pinned   bool       // the lock file has keys: nothing else makes a key trusted
}

// newHostKeyVerifier reads what is known of the endpoint.
func newHostKeyVerifier(ctx context.Context, e *endpoint, trusted []ssh.PublicKey) (*hostKeyVerifier, error) {
	v := &hostKeyVerifier{endpoint: e, name: knownName(e), pinned: len(trusted) > 0}
	all, err := readKnownHosts(e.known)
	if err != nil {
		return nil, err
	}
	v.add(all)
	if e.knownCommand != "" && !v.pinned {
		printed, err := e.runKnownCommand(ctx, nil)
		if err != nil {
			return nil, err
		}
		v.addPrinted(printed)
	}
	for _, key := range trusted {
		v.known = append(v.known, knownKey{key: key, file: LockFile})
	}
	return v, nil
}

// add takes the keys that are about the endpoint.
func (v *hostKeyVerifier) add(keys []knownKey) {
	bare := strings.ToLower(v.endpoint.host)
	for _, k := range keys {
		switch {
		case v.pinned && k.marker != "revoked":
		case k.matches(v.name):
			v.known = append(v.known, k)
		case v.endpoint.keyAlias == "" && v.name != bare && k.matches(bare):
			v.bare = append(v.bare, k)
		}
	}
}

// addPrinted takes the keys of KnownHostsCommand, which knows the port.
func (v *hostKeyVerifier) addPrinted(keys []knownKey) {
	for _, k := range keys {
		if k.matches(v.name) {
			v.known = append(v.known, k)
		}
	}
}

// knownName returns the name that known_hosts has for an endpoint.
func knownName(e *endpoint) string {
	name := strings.ToLower(cmp.Or(e.keyAlias, e.host))
	if e.port != "22" && e.keyAlias == "" {
		return "[" + name + "]:" + e.port
	}
	return name
}

// LockFile is the file that Options.Trusted comes from.
const LockFile = "dray.lock.hcl"

// algorithms returns the algorithms to offer: first those of keys that are
// known, so that a host with several keys shows one of these.
func (v *hostKeyVerifier) algorithms() []string {
	ranked := slices.Clone(defaultAlgorithms)
	if len(v.endpoint.hostKeyAlgorithms) > 0 {
		ranked = slices.Clone(v.endpoint.hostKeyAlgorithms)
	}
	slices.SortStableFunc(ranked, func(a, b string) int { return v.rank(a) - v.rank(b) })
	return ranked
}

func (v *hostKeyVerifier) rank(algorithm string) int {
	certificate := strings.Contains(algorithm, "-cert-v01@")
	for _, k := range slices.Concat(v.known, v.bare) {
		switch {
		case k.marker == "cert-authority" && certificate:
			return 0
		case k.marker == "" && !certificate && slices.Contains(signatures(k.key.Type()), algorithm):
			return 1
		}
	}
	return 2
}

// check is an ssh.HostKeyCallback with a context.
func (v *hostKeyVerifier) check(ctx context.Context, address string, remote net.Addr, key ssh.PublicKey) error {
	if v.endpoint.knownCommand != "" && !v.pinned {
		printed, err := v.endpoint.runKnownCommand(ctx, key)
		if err != nil {
			return err
		}
		v.addPrinted(printed)
	}
	if err := v.checkRevoked(ctx, key); err != nil {
		return err
	}
	err := v.compare(v.known, address, remote, key)
	var unknown *HostKeyUnknownError
	if !errors.As(err, &unknown) || len(v.bare) == 0 {
		return err
	}
	// As ssh does, a port without an entry of its own is looked up without the
	// port. There another key is no change: it may be another server's.
	bareErr := v.compare(v.bare, address, remote, key)
	var revoked *HostKeyRevokedError
	if bareErr == nil || errors.As(bareErr, &revoked) {
		return bareErr
	}
	unknown.Others = append(unknown.Others, v.others(v.bare)...)
	return err
}

// compare checks a key against some of the known ones.
func (v *hostKeyVerifier) compare(known []knownKey, address string, remote net.Addr, key ssh.PublicKey) error {
	if cert, ok := key.(*ssh.Certificate); ok {
		return v.compareCertificate(known, address, remote, cert)
	}
	var same, other *knownKey
	for i := range known {
		k := &known[i]
		equal := bytes.Equal(k.key.Marshal(), key.Marshal())
		switch {
		case k.marker == "revoked" && equal:
			return &HostKeyRevokedError{HostKey: v.hostKey(key), Where: k.where()}
		case k.marker != "":
		case equal:
			same = k
		case k.key.Type() == key.Type() || k.file == LockFile:
			other = k
		}
	}
	switch {
	case same != nil:
		return nil
	case other != nil:
		return &HostKeyChangedError{HostKey: v.hostKey(key), Known: ssh.FingerprintSHA256(other.key), Where: other.where()}
	}
	return &HostKeyUnknownError{HostKey: v.hostKey(key), Others: v.others(known), Files: v.endpoint.known}
}

// others lists keys of other types that are known for the host.
func (v *hostKeyVerifier) others(known []knownKey) []string {
	var list []string
	for _, k := range known {
		if k.marker == "" {
			list = append(list, fmt.Sprintf("%s %s (%s)", typeName(k.key), ssh.FingerprintSHA256(k.key), k.where()))
		}
	}
	return list
}

// compareCertificate checks a host certificate against the authorities that
// are known for the host. Where the authority is unknown, the key itself may
// be known.
func (v *hostKeyVerifier) compareCertificate(known []knownKey, address string, remote net.Addr, cert *ssh.Certificate) error {
	is := func(marker string, key ssh.PublicKey) bool {
		return slices.ContainsFunc(known, func(k knownKey) bool {
			return k.marker == marker && bytes.Equal(k.key.Marshal(), key.Marshal())
		})
	}
	if !is("cert-authority", cert.SignatureKey) {
		return v.compare(known, address, remote, cert.Key)
	}
	checker := ssh.CertChecker{
		IsHostAuthority: func(auth ssh.PublicKey, _ string) bool { return is("cert-authority", auth) },
		IsRevoked: func(c *ssh.Certificate) bool {
			return is("revoked", c.Key) || is("revoked", c.SignatureKey)
		},
	}
	name := net.JoinHostPort(cmp.Or(v.endpoint.keyAlias, v.endpoint.host), "22") // principals have no port
	if err := checker.CheckHostKey(name, remote, cert); err != nil {
		return &HostKeyRevokedError{HostKey: v.hostKey(cert.Key), Where: err.Error()}
	}
	return nil
}

func (v *hostKeyVerifier) hostKey(key ssh.PublicKey) HostKey {
	k := HostKey{Host: v.endpoint.name, Address: v.endpoint.address(), Key: key}
	if v.endpoint.onTheWay {
		k.login = v.endpoint.login()
	}
	return k
}
