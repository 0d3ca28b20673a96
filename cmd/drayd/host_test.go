package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"dray/targets/api"
	"dray/targets/runtime/cgroup"
)

// testHost is a daemon at work in the namespaces, and a client of it.
type testHost struct {
	*api.EnvironmentClient
	t        *testing.T
	client   *api.Client
	registry string
	agent    *exec.Cmd
	log      bytes.Buffer
	stays    bool // the containers are for the next boot
}

func newHost(t *testing.T) *testHost {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	h := &testHost{t: t, registry: strings.TrimPrefix(server.URL, "http://")}
	h.client = api.NewClient(func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", filepath.Join(runFolder, "agent.sock"))
	}, api.Actor{User: "mira", Machine: "ci-7", Command: "dray deploy"})
	h.EnvironmentClient = h.client.Environment("shop", "prod")
	t.Cleanup(func() {
		if !h.stays {
			h.takeDown()
		}
		h.kill()
		_ = cgroup.Remove("/dray") // stays where this machine has containers of its own
		if t.Failed() {
			t.Logf("the agent's log:\n%s", h.log.String())
		}
	})
	h.start()
	return h
}

// start starts the daemon and waits until it answers.
func (h *testHost) start() {
	h.t.Helper()
	h.startAgent()
	h.until("the agent answers", func() bool {
		_, err := h.client.Host(context.Background())
		return err == nil
	})
}

func (h *testHost) startAgent() {
	h.t.Helper()
	h.agent = exec.Command(filepath.Join(os.Getenv(programs), "drayd"), "agent", "--log-level", "debug")
	h.agent.Stdout, h.agent.Stderr = &h.log, &h.log
	if err := h.agent.Start(); err != nil {
		h.t.Fatal(err)
	}
}

// failAt arms the failpoint of the daemon that is started next, or takes it
// away.
func (h *testHost) failAt(line string) {
	path := filepath.Join(runFolder, "failpoint")
	_ = os.Remove(path) // there may be none
	if line == "" {
		return
	}
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// kill ends the daemon without a warning.
func (h *testHost) kill() {
	_ = h.agent.Process.Kill()
	_ = h.agent.Wait()
	h.client.CloseIdle()
}

// until waits for a condition.
func (h *testHost) until(what string, condition func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("30s passed and it is not so that %s; the agent's log:\n%s", what, h.log.String())
		}
	}
}

// takeDown removes the containers, and with them their control groups, which
// are the machine's.
func (h *testHost) takeDown() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var lease *api.Lease
	h.until("the lease is free", func() (got bool) {
		var err error
		lease, err = h.AcquireLease(ctx, api.AcquireLease{TTL: 60})
		return err == nil
	})
	if _, err := h.Down(ctx, api.Down{Fence: lease.Fence, Volumes: true}, nil); err != nil {
		h.t.Errorf("taking the environment down: %v", err)
	}
}

// push makes an image of busybox that serves its own version on port 8080.
func (h *testHost) push(version string) api.Image {
	h.t.Helper()
	script := fmt.Sprintf("#!/bin/busybox sh\necho version %s on $(/bin/busybox hostname)\n"+
		"/bin/busybox mkdir -p /www && echo %s >/www/index.html && echo ok >/www/up\n"+
		"exec /bin/busybox httpd -f -p ${PORT:-8080} -h /www\n", version, version)
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		h.t.Skip("busybox-static is needed: ", err)
	}
	image := mutate.MediaType(empty.Image, "application/vnd.oci.image.manifest.v1+json")
	for _, files := range []map[string][]byte{{"bin/busybox": busybox}, {"serve": []byte(script)}} {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return archive(files) })
		if err == nil {
			image, err = mutate.AppendLayers(image, layer)
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
	image, err = mutate.Config(image, v1.Config{Cmd: []string{"/serve"}})
	if err != nil {
		h.t.Fatal(err)
	}
	image, err = mutate.ConfigFile(image, withPlatform(image))
	if err != nil {
		h.t.Fatal(err)
	}
	repository, err := name.NewRepository(h.registry+"/shop/web", name.Insecure)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := remote.Write(repository.Tag(version), image); err != nil {
		h.t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		h.t.Fatal(err)
	}
	return api.Image{Name: "shop/web", Digest: digest.String()}
}

func withPlatform(image v1.Image) *v1.ConfigFile {
	config, err := image.ConfigFile()
	if err != nil {
		return nil
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	return config
}

func archive(files map[string][]byte) (io.ReadCloser, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for path, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return io.NopCloser(&out), w.Close()
}

// get asks the published port, as a client outside would.
func get(path string) (string, error) {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + hostAddress + ":8000/" + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(text)), err
}
