package buildkit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/cli/cli/config"

	"dray/builder"
	"dray/pipeline"
	"dray/pipeline/event"
)

// TestSSH forwards an agent of this test to a step.
func TestSSH(t *testing.T) {
	l := useLab(t)
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	req := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN --mount=type=ssh,required=true [ -S \"$SSH_AUTH_SOCK\" ] && echo yes > /agent\n"})
	req.Target.SSH = []pipeline.BuildSSH{{ID: "default", Paths: []string{socket}}}
	files, _ := open(t, l.mustBuild(req)).files()
	if files["agent"] != "yes\n" || len(files) != 2 {
		t.Errorf("files: %v", slices.Sorted(maps.Keys(files)))
	}

	req.Target.SSH[0].Paths = []string{filepath.Join(t.TempDir(), "none")}
	var f *builder.Failure
	if _, err := l.client().Build(t.Context(), req, event.Discard); !errors.As(err, &f) || f.At.Line != 3 {
		t.Errorf("no agent: %v", err)
	}
}

// TestCacheFolder moves a build's cache to another builder through a folder.
func TestCacheFolder(t *testing.T) {
	req := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN date +%N > /when\n"})
	dir := filepath.Join(t.TempDir(), "cache")
	var built []string
	for range 2 {
		l := newLab(t)
		req.Target.CacheTo = []pipeline.CacheEntry{{Type: "local", Attrs: map[string]string{"dest": dir, "mode": "max"}}}
		req.Target.CacheFrom = []pipeline.CacheEntry{{Type: "local", Attrs: map[string]string{"src": dir}}}
		files, _ := open(t, l.mustBuild(req)).files()
		built = append(built, files["when"])
	}
	if built[0] == "" || built[0] != built[1] {
		t.Errorf("the step ran twice: %q", built)
	}
}

// TestCredentials builds from a registry that wants a password.
func TestCredentials(t *testing.T) {
	l := useLab(t)
	target, err := url.Parse(l.mirror.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer guarded.Close()
	host := strings.TrimPrefix(guarded.URL, "http://")
	req := project(t, map[string]string{"Dockerfile": "FROM " + host + "/library/busybox\nCOPY Dockerfile /\n"})

	dir := t.TempDir()
	config.SetDir(dir)
	_, err = l.client().Build(t.Context(), req, event.Discard)
	var f *builder.Failure
	if !errors.As(err, &f) || !strings.Contains(f.Next, "log in") {
		t.Errorf("without credentials: %v", err)
	}
	login := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("u:p")))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	l.mustBuild(req)
}

// TestTLS reaches a builder through TLS that wants to know its client.
func TestTLS(t *testing.T) {
	l := useLab(t)
	l.client()
	dir := t.TempDir()
	ca := newCertificate(t, dir, "ca", nil)
	server := newCertificate(t, dir, "server", ca)
	newCertificate(t, dir, "client", ca)
	pool := x509.NewCertPool()
	pool.AddCert(ca.leaf)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{server.leaf.Raw}, PrivateKey: server.key}},
		ClientCAs:    pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go forward(listener, l.options.Embedded.socket())
	file := func(name string) string { return filepath.Join(dir, name) }
	o := Options{Address: "tcp://" + listener.Addr().String(), Images: t.TempDir()}
	o.TLS = &TLS{CA: file("ca.pem"), Cert: file("client.pem"), Key: file("client.key")}
	c, err := Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Build(t.Context(), project(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"}), event.Discard); err != nil {
		t.Error(err)
	}
	for name, other := range map[string]*TLS{
		"no certificate": {CA: file("ca.pem")},
		"another's CA":   {CA: file("client.pem"), Cert: file("client.pem"), Key: file("client.key")},
		"no TLS":         nil,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		o.TLS = other
		if c, err := Connect(ctx, o); err == nil {
			c.Close()
			t.Errorf("%s: it let us in", name)
		}
		cancel()
	}
}

// forward joins each connection with the builder's socket, until the listener
// is closed.
func forward(l net.Listener, socket string) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := net.Dial("unix", socket)
			if err != nil {
				return
			}
			defer to.Close()
			go func() {
				_, _ = io.Copy(to, from) // the other direction ends it
				to.Close()
			}()
			_, _ = io.Copy(from, to) // either end may go
		}()
	}
}

type certificate struct {
	leaf *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newCertificate writes NAME.pem and NAME.key, signed by another certificate or
// by itself.
func newCertificate(t *testing.T, dir, name string, by *certificate) *certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: by == nil, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer := by
	if by == nil {
		signer = &certificate{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.leaf, &key.PublicKey, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &certificate{leaf, key}
}
