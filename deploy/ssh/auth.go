package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// authentication gathers the keys for one hop and remembers what was offered.
type authentication struct {
	offered []string // in words
	skipped []string // keys that could not be read, and why
	fault   error    // of a key that the server accepts and that can not sign
	agent   net.Conn
}

// methods returns how the endpoint is logged in to: public keys only.
func (a *authentication) methods(e *endpoint) []ssh.AuthMethod {
	return []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
		return a.signers(e), nil
	})}
}

func (a *authentication) close() {
	if a.agent != nil {
		_ = a.agent.Close() // it was only asked
	}
}

// signers returns the keys in the order of ssh(1): those that the configuration
// names, the agent's others, then files. A key is offered once; its
// certificates come before it.
func (a *authentication) signers(e *endpoint) []ssh.Signer {
	inAgent := a.agentKeys(e)
	files := a.fileKeys(e)
	var list []ssh.Signer
	seen := map[string]bool{}
	add := func(s ssh.Signer, from string) {
		id := string(s.PublicKey().Marshal())
		if !seen[id] {
			seen[id] = true
			list = append(list, s)
			a.offered = append(a.offered, fmt.Sprintf("%s %s (%s)", describe(s.PublicKey()), ssh.FingerprintSHA256(s.PublicKey()), from))
		}
	}
	for _, f := range files {
		held := agentSigner(inAgent, f.public)
		if e.explicit && held != nil {
			f.signer = held
		}
	}
	for _, c := range a.certificates(e, files, inAgent) {
		add(c, "certificate")
	}
	for _, f := range files {
		if held := agentSigner(inAgent, f.public); held != nil && e.explicit {
			add(held, "agent")
		}
	}
	if !e.only {
		for _, s := range inAgent {
			add(s, "agent")
		}
	}
	for _, f := range files {
		if f.signer != nil {
			add(f.signer, f.path)
		}
	}
	return list
}

func describe(key ssh.PublicKey) string {
	if cert, ok := key.(*ssh.Certificate); ok {
		return typeName(cert.Key) + " certificate"
	}
	return typeName(key)
}

func agentSigner(signers []ssh.Signer, public ssh.PublicKey) ssh.Signer {
	for _, s := range signers {
		if public != nil && bytes.Equal(s.PublicKey().Marshal(), public.Marshal()) {
			return s
		}
	}
	return nil
}

func (a *authentication) agentKeys(e *endpoint) []ssh.Signer {
	if e.agent == "" {
		return nil
	}
	conn, err := dialAgentSocket(e.agent)
	if err != nil {
		a.skipped = append(a.skipped, "the SSH agent does not answer: "+err.Error())
		return nil
	}
	a.agent = conn
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		a.skipped = append(a.skipped, "asking the SSH agent: "+err.Error())
	}
	return signers
}

// fileKey is a key in a file. Without a signer only its public half is known.
type fileKey struct {
	path   string
	public ssh.PublicKey
	signer ssh.Signer
}

func (a *authentication) fileKeys(e *endpoint) []*fileKey {
	var keys []*fileKey
	for _, path := range e.identities {
		k, err := readKey(path, e.options.Passphrase, func(err error) { a.fault = err })
		switch {
		case err == nil:
			keys = append(keys, k)
		case errors.Is(err, fs.ErrNotExist) && !e.explicit:
		default:
			a.skipped = append(a.skipped, err.Error())
		}
	}
	return keys
}

// readKey reads a private key, or only PATH.pub where the private half is in
// the agent.
func readKey(path string, ask func(string) ([]byte, error), fail func(error)) (*fileKey, error) {
	k := &fileKey{path: path}
	if text, err := os.ReadFile(path + ".pub"); err == nil {
		if public, _, _, _, err := ssh.ParseAuthorizedKey(text); err == nil {
			k.public = public
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		if k.public != nil {
			return k, nil
		}
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	var missing *ssh.PassphraseMissingError
	switch {
	case err == nil:
		k.public, k.signer = signer.PublicKey(), signer
	case errors.As(err, &missing):
		if missing.PublicKey != nil {
			k.public = missing.PublicKey
		}
		if k.public == nil {
			return nil, fmt.Errorf("%s is encrypted, in an old format, and has no %s.pub beside it: ssh-add %s", path, path, path)
		}
		k.signer = &lockedKey{path: path, text: text, public: k.public, ask: ask, fail: fail}
	default:
		if public, _, _, _, publicErr := ssh.ParseAuthorizedKey(text); publicErr == nil {
			k.public = public // IdentityFile may name a public key whose other half the agent has
			return k, nil
		}
		return nil, fmt.Errorf("reading key %s: %w", path, err)
	}
	return k, nil
}

// certificates returns signers for KEY-cert.pub beside each key, and for
// CertificateFile.
func (a *authentication) certificates(e *endpoint, files []*fileKey, inAgent []ssh.Signer) []ssh.Signer {
	paths := append([]string(nil), e.certs...)
	for _, f := range files {
		paths = append(paths, strings.TrimSuffix(f.path, ".pub")+"-cert.pub")
	}
	var list []ssh.Signer
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			if i < len(e.certs) {
				a.skipped = append(a.skipped, err.Error())
			}
			continue
		}
		public, _, _, _, err := ssh.ParseAuthorizedKey(text)
		cert, ok := public.(*ssh.Certificate)
		if err != nil || !ok {
			a.skipped = append(a.skipped, path+" is not a certificate")
			continue
		}
		signer := agentSigner(inAgent, cert.Key)
		for _, f := range files {
			if signer == nil && f.signer != nil && bytes.Equal(f.public.Marshal(), cert.Key.Marshal()) {
				signer = f.signer
			}
		}
		if signer == nil {
			a.skipped = append(a.skipped, path+": its private key is neither in a file nor in the agent")
			continue
		}
		if certified, err := ssh.NewCertSigner(cert, signer); err == nil {
			list = append(list, certified)
		}
	}
	return list
}

// lockedKey is an encrypted key. It is opened when a server accepts it, so
// nobody is asked in vain.
type lockedKey struct {
	path   string
	text   []byte
	public ssh.PublicKey
	ask    func(string) ([]byte, error)
	fail   func(error)
	open   ssh.Signer
}

// PublicKey returns the half that is not encrypted.
func (k *lockedKey) PublicKey() ssh.PublicKey { return k.public }

// Sign opens the key and signs.
func (k *lockedKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm opens the key and signs with one of the algorithms of its
// type.
func (k *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if err := k.unlock(); err != nil {
		k.fail(err)
		return nil, err
	}
	if s, ok := k.open.(ssh.AlgorithmSigner); ok {
		return s.SignWithAlgorithm(rand, data, algorithm)
	}
	return k.open.Sign(rand, data)
}

func (k *lockedKey) unlock() error {
	if k.open != nil {
		return nil
	}
	if k.ask == nil {
		return fmt.Errorf("the host accepts key %s, which is encrypted: ssh-add %s", k.path, k.path)
	}
	passphrase, err := k.ask(k.path)
	if err != nil {
		return fmt.Errorf("asking for the passphrase of %s: %w", k.path, err)
	}
	open, err := ssh.ParsePrivateKeyWithPassphrase(k.text, passphrase)
	if err != nil {
		return fmt.Errorf("opening key %s: %w", k.path, err)
	}
	k.open = open
	return nil
}

// tried lists what was offered, for a message.
func (a *authentication) tried() string {
	text := "no key was found to offer"
	if len(a.offered) > 0 {
		text = "tried " + strings.Join(a.offered, ", ")
	}
	if len(a.skipped) > 0 {
		text += "; not used: " + strings.Join(a.skipped, "; ")
	}
	return text
}

// next says what helps after a failed login.
func (a *authentication) next(e *endpoint) string {
	if a.fault != nil {
		return "add the key to the agent (ssh-add), then try again"
	}
	if len(a.offered) == 0 {
		return "make a key with ssh-keygen -t ed25519, then: ssh-copy-id " + e.copyID()
	}
	return "add a public key to " + e.user + "'s ~/.ssh/authorized_keys there (ssh-copy-id " + e.copyID() + "), or name another IdentityFile"
}

func (e *endpoint) copyID() string {
	if e.port == "22" {
		return e.user + "@" + e.host
	}
	return "-p " + e.port + " " + e.user + "@" + e.host
}
