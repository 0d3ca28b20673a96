package ssh

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// authentication gathers the keys for one hop and remembers what was offered.
type authentication struct {
	unlock  func(path string, text []byte) (ssh.Signer, error) // opens an encrypted key
	offered []string                                           // in words
	skipped []string                                           // keys that could not be read, and why
	fault   error                                              // of a key that the server accepts and that can not sign
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

// signers returns the keys in the order of ssh(1): certificates, those that
// the agent holds of the files (named ones or the default ones), the agent's
// others unless IdentitiesOnly is set, and the other files. A key is offered
// once. So a key that the agent holds never asks for a passphrase.
func (a *authentication) signers(e *endpoint) []ssh.Signer {
	inAgent := a.agentKeys(e)
	files := a.fileKeys(e)
	var list []ssh.Signer
	seen := map[string]bool{}
	add := func(s ssh.Signer, from string) {
		id := string(s.PublicKey().Marshal())
		if seen[id] {
			return
		}
		seen[id] = true
		text := fmt.Sprintf("%s %s (%s)", describe(s.PublicKey()), ssh.FingerprintSHA256(s.PublicKey()), from)
		accepted := accept(s, e.acceptedAlgorithms)
		if accepted == nil {
			a.skipped = append(a.skipped, text+" is not of PubkeyAcceptedAlgorithms")
			return
		}
		list = append(list, accepted)
		a.offered = append(a.offered, text)
	}
	for _, f := range files {
		if held := agentSigner(inAgent, f.public); held != nil {
			f.signer = held
		}
	}
	for _, c := range a.certificates(e, files, inAgent) {
		add(c, "certificate")
	}
	for _, f := range files {
		if held := agentSigner(inAgent, f.public); held != nil {
			add(held, "agent")
		}
	}
	if !e.only {
		for _, s := range inAgent {
			add(s, "agent")
		}
	}
	for _, f := range files {
		switch {
		case f.signer != nil:
			add(f.signer, f.path)
		case f.err != nil:
			a.skipped = append(a.skipped, f.err.Error())
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

// copyID returns ssh-copy-id's arguments.
func (e *endpoint) copyID() string {
	if e.port == "22" {
		return e.user + "@" + e.host
	}
	return "-p " + e.port + " " + e.user + "@" + e.host
}
