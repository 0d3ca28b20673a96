//go:build linux

package ssh

import (
	"crypto/rand"
	"crypto/rsa"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// TestAcceptedAlgorithms restricts keys to PubkeyAcceptedAlgorithms.
func TestAcceptedAlgorithms(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	certified, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name     string
		signer   ssh.Signer
		accepted string
		want     []string // nil: the key is not used
	}{
		{"one of its own", signer, "ssh-ed25519,rsa-sha2-256", []string{ssh.KeyAlgoRSASHA256}},
		{"none of its own", signer, "ssh-ed25519", nil},
		{"of certificates only", signer, ssh.CertAlgoRSASHA512v01, nil},
		{"a certificate", certified, ssh.CertAlgoRSASHA512v01, []string{ssh.KeyAlgoRSASHA512}},
		{"a certificate, keys only", certified, "rsa-sha2-512", nil},
	} {
		got := accept(x.signer, strings.Split(x.accepted, ","))
		if (got == nil) != (x.want == nil) {
			t.Errorf("%s: %v", x.name, got)
			continue
		}
		if many, ok := got.(ssh.MultiAlgorithmSigner); got != nil && (!ok || !slices.Equal(many.Algorithms(), x.want)) {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
	}
	if accept(signer, nil) != signer {
		t.Error("a key is restricted where nothing is set")
	}
}

// TestConfiguredConnection has a configuration that chooses the client's
// address, the algorithms and the key's signature.
func TestConfiguredConnection(t *testing.T) {
	h, c := startHost(t), newClient(t)
	h.allow(newKey(t, filepath.Join(c.dir, "id"), "").PublicKey())
	c.knows(h, h.hostKey.PublicKey())
	for options, want := range map[string]string{
		"BindAddress 127.0.0.7":                           "Connection from 127.0.0.7",
		"BindInterface lo\nAddressFamily inet":            "Connection from 127.0.0.1",
		"Ciphers aes128-ctr\nMACs hmac-sha2-512":          "Accepted publickey",
		"PubkeyAcceptedAlgorithms ssh-ed25519":            "Accepted publickey",
		"KexAlgorithms ecdh-sha2-nistp256\nUser somebody": "Accepted publickey",
	} {
		c.config(options + "\nIdentityFile DIR/id")
		conn, err := NewDialer().Dial(t.Context(), c.options(h, "deploy"))
		if err != nil {
			t.Errorf("%s: %v", options, err)
			continue
		}
		_ = conn.Close()
		eventually(t, options, func() bool { return strings.Contains(h.log.String(), want) })
	}
	c.config("PubkeyAcceptedAlgorithms rsa-sha2-512\nIdentityFile DIR/id")
	if fault := dialFails(t, c.options(h, "deploy"), KindAuth); !strings.Contains(fault.Error(), "PubkeyAcceptedAlgorithms") {
		t.Errorf("does not say why no key was offered: %v", fault)
	}
	c.config("AddressFamily inet6\nIdentityFile DIR/id")
	dialFails(t, c.options(h, "deploy"), KindNetwork)
}
