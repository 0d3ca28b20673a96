package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// judge decides whether a hop's host key is the right one.
type judge struct {
	endpoint *endpoint
	name     string // "host" or "[host]:port", as known_hosts has it
	known    []knownKey
}

// newJudge reads what is known of the endpoint.
func newJudge(e *endpoint, trusted []ssh.PublicKey) (*judge, error) {
	j := &judge{endpoint: e, name: knownName(e)}
	all, err := readKnownHosts(e.known)
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		if k.matches(j.name) && (len(trusted) == 0 || k.marker == "revoked") {
			j.known = append(j.known, k)
		}
	}
	for _, key := range trusted {
		j.known = append(j.known, knownKey{key: key, file: LockFile})
	}
	return j, nil
}

// knownName returns the name that known_hosts has for an endpoint.
func knownName(e *endpoint) string {
	name := strings.ToLower(or(e.keyAlias, e.host))
	if e.port != "22" && e.keyAlias == "" {
		return "[" + name + "]:" + e.port
	}
	return name
}

// LockFile is the file that Options.Trusted comes from.
const LockFile = "dray.lock.hcl"

// defaultAlgorithms are the host key algorithms that dray accepts, best first.
var defaultAlgorithms = func() []string {
	list := ssh.SupportedAlgorithms().HostKeys
	slices.SortStableFunc(list, func(a, b string) int { return preference(a) - preference(b) })
	return list
}()

func preference(algorithm string) int {
	switch {
	case strings.HasPrefix(algorithm, "ssh-ed25519"):
		return 0
	case strings.HasPrefix(algorithm, "ecdsa-"):
		return 1
	}
	return 2
}

// algorithms returns the algorithms to offer: first those of keys that are
// known, so that a host with several keys shows one of these.
func (j *judge) algorithms() []string {
	offered := defaultAlgorithms
	if list := j.endpoint.algorithms; list != "" && !strings.ContainsAny(list[:1], "+-^") {
		chosen := slices.DeleteFunc(strings.Split(list, ","), func(a string) bool {
			return !slices.Contains(defaultAlgorithms, strings.TrimSpace(a))
		})
		if len(chosen) > 0 {
			offered = chosen
		}
	}
	ranked := slices.Clone(offered)
	slices.SortStableFunc(ranked, func(a, b string) int { return j.rank(a) - j.rank(b) })
	return ranked
}

func (j *judge) rank(algorithm string) int {
	certificate := strings.Contains(algorithm, "-cert-v01@")
	for _, k := range j.known {
		switch {
		case k.marker == "cert-authority" && certificate:
			return 0
		case k.marker == "" && !certificate && slices.Contains(signatures(k.key.Type()), algorithm):
			return 1
		}
	}
	return 2
}

// signatures returns the algorithms that a key of that type signs with.
func signatures(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{keyType}
}

// check is an ssh.HostKeyCallback.
func (j *judge) check(address string, remote net.Addr, key ssh.PublicKey) error {
	if cert, ok := key.(*ssh.Certificate); ok {
		return j.checkCertificate(address, remote, cert)
	}
	var same, other *knownKey
	for i := range j.known {
		k := &j.known[i]
		equal := bytes.Equal(k.key.Marshal(), key.Marshal())
		switch {
		case k.marker == "revoked" && equal:
			return &HostKeyRevokedError{HostKey: j.hostKey(key), Where: k.where()}
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
		return &HostKeyChangedError{HostKey: j.hostKey(key), Known: ssh.FingerprintSHA256(other.key), Where: j.place(*other)}
	}
	return &HostKeyUnknownError{HostKey: j.hostKey(key), Others: j.others(), Files: j.endpoint.known}
}

func (j *judge) place(k knownKey) string {
	if k.line == 0 {
		return k.file
	}
	return k.where()
}

// others lists keys of other types that are known for the host.
func (j *judge) others() []string {
	var list []string
	for _, k := range j.known {
		if k.marker == "" {
			list = append(list, fmt.Sprintf("%s %s (%s)", typeName(k.key), ssh.FingerprintSHA256(k.key), j.place(k)))
		}
	}
	return list
}

// checkCertificate checks a host certificate against the authorities that are
// known for the host.
func (j *judge) checkCertificate(address string, remote net.Addr, cert *ssh.Certificate) error {
	is := func(marker string, key ssh.PublicKey) bool {
		return slices.ContainsFunc(j.known, func(k knownKey) bool {
			return k.marker == marker && bytes.Equal(k.key.Marshal(), key.Marshal())
		})
	}
	if !is("cert-authority", cert.SignatureKey) {
		return j.check(address, remote, cert.Key) // an unknown authority: the key itself may be known
	}
	checker := ssh.CertChecker{
		IsHostAuthority: func(auth ssh.PublicKey, _ string) bool { return is("cert-authority", auth) },
		IsRevoked: func(c *ssh.Certificate) bool {
			return is("revoked", c.Key) || is("revoked", c.SignatureKey)
		},
	}
	name := net.JoinHostPort(or(j.endpoint.keyAlias, j.endpoint.host), "22") // principals have no port
	if err := checker.CheckHostKey(name, remote, cert); err != nil {
		return &HostKeyRevokedError{HostKey: j.hostKey(cert.Key), Where: err.Error()}
	}
	return nil
}

func (j *judge) hostKey(key ssh.PublicKey) HostKey {
	k := HostKey{Host: j.endpoint.name, Address: j.endpoint.address(), Key: key, known: j.name}
	if j.endpoint.onTheWay {
		k.login = j.endpoint.login()
	}
	return k
}

// HostKey is a key that a host showed.
type HostKey struct {
	Host    string // its name for people
	Address string // host:port
	Key     ssh.PublicKey
	known   string
	login   string // of a jump host, which has no name in the file
}

// accept is the command that has the key trusted from then on.
func (h HostKey) accept(flags ...string) string {
	if h.login != "" {
		return "ssh " + h.login + ", which asks for it and keeps it in ~/.ssh/known_hosts"
	}
	return strings.Join(slices.Concat([]string{"dray host trust"}, flags, []string{h.Host}), " ")
}

// Fingerprint returns "SHA256:…".
func (h HostKey) Fingerprint() string { return ssh.FingerprintSHA256(h.Key) }

// Type returns the kind of key as people write it: ED25519, ECDSA, RSA.
func (h HostKey) Type() string { return typeName(h.Key) }

// Text returns the key as known_hosts and dray.lock.hcl have it: "TYPE BASE64".
func (h HostKey) Text() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(h.Key)))
}

// KnownHostsLine returns the key's line for known_hosts, without a newline.
func (h HostKey) KnownHostsLine() string { return h.known + " " + h.Text() }

// ParseHostKey reads a key as Text wrote it.
func ParseHostKey(text string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("reading the host key %q: %w", text, err)
	}
	return key, nil
}

func typeName(key ssh.PublicKey) string {
	name := strings.TrimPrefix(strings.TrimPrefix(key.Type(), "sk-"), "ssh-")
	name, _, _ = strings.Cut(name, "-")
	name, _, _ = strings.Cut(name, "@")
	return strings.ToUpper(name)
}

// isHostKeyError tells whether err is about the host's key.
func isHostKeyError(err error) bool {
	var unknown *HostKeyUnknownError
	var changed *HostKeyChangedError
	var revoked *HostKeyRevokedError
	return errors.As(err, &unknown) || errors.As(err, &changed) || errors.As(err, &revoked)
}
