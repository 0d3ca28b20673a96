package buildkit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
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
