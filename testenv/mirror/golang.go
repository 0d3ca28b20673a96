package mirror

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// goroot is this machine's toolchain's folder; toolchain has it checked.
func goroot() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("asking go for its folder: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func golangKey() (string, error) {
	root, err := goroot()
	if err != nil {
		return "", err
	}
	version, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return "", err
	}
	busybox, err := busyboxKey()
	return busybox + "-" + strings.Fields(string(version))[0], err
}

// makeGolang puts this machine's toolchain on busybox. It builds what needs no
// module from elsewhere and no C: there is no proxy and no compiler in it.
// A third layer is a build cache with the packages that servers use most,
// compiled: without it each first build would compile net/http.
func makeGolang(ctx context.Context, dir string) (v1.Image, error) {
	root, err := goroot()
	if err != nil {
		return nil, err
	}
	base, err := makeBusyboxLayer(ctx, dir)
	if err != nil {
		return nil, err
	}
	tools, err := makeLayer(dir, func(a *archive) error {
		a.dir("usr/local", 0o755)
		if err := a.tree(root, "usr/local/go", needless); err != nil {
			return err
		}
		a.dir("go", 0o777)
		return nil
	})
	if err != nil {
		return nil, err
	}
	cache, err := makeGoCache(ctx, dir, root)
	if err != nil {
		return nil, err
	}
	return imageOf(v1.Config{
		Cmd: []string{"sh"}, WorkingDir: "/go",
		Env: []string{
			"PATH=/go/bin:/usr/local/go/bin:" + searchPath,
			"GOPATH=/go", "GOTOOLCHAIN=local", "GOPROXY=off", "CGO_ENABLED=0",
			"GOCACHE=/root/.cache/go-build",
		},
	}, base, tools, cache)
}

// needless tells what of a toolchain's folder no build reads.
func needless(path string) bool {
	switch path {
	case "api", "doc", "misc", "test", "src/cmd", "pkg/tool/" + runtime.GOOS + "_" + runtime.GOARCH + "/fix":
		return true
	}
	return filepath.Base(path) == "testdata" || strings.HasSuffix(path, "_test.go")
}

// warm are the packages whose compiled form, with all they import, the image
// comes with.
var warm = []string{"net/http", "net/http/httputil", "net/http/pprof", "encoding/json", "log/slog", "html/template",
	"embed", "flag", "os/signal", "os/exec", "database/sql", "expvar", "crypto/tls", "encoding/csv", "path/filepath"}

// inFuture is the time of the cache's files. The go command neither touches
// nor trims what is not old, so a build writes nothing of this layer anew.
var inFuture = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// makeGoCache archives what the go command's cache here has of the packages,
// as a build without C finds it, with and without -trimpath. What the cache
// lacks is compiled into it.
func makeGoCache(ctx context.Context, dir, root string) (*layer, error) {
	kept := map[string][]byte{} // path in a cache → contents
	for _, flag := range []string{"-trimpath=false", "-trimpath=true"} {
		cmd := exec.CommandContext(ctx, filepath.Join(root, "bin/go"),
			append([]string{"list", "-export", "-deps", flag, "-f", "{{if .Export}}{{.BuildID}} {{.Export}}{{end}}"}, warm...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOROOT="+root, "GOENV=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GOEXPERIMENT=", "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("compiling the standard library: %w", err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			if err := keep(kept, line); err != nil {
				return nil, err
			}
		}
	}
	return makeLayer(dir, func(a *archive) error {
		const top = "root/.cache/go-build"
		a.dir("root/.cache", 0o755)
		a.dir(top, 0o755)
		for i := range 256 {
			a.dir(fmt.Sprintf("%s/%02x", top, i), 0o755)
		}
		a.time = inFuture
		for _, name := range slices.Sorted(maps.Keys(kept)) {
			a.file(top+"/"+name, 0o644, kept[name])
		}
		return nil
	})
}

// keep reads the two files that the cache has for a package: the output, which
// "go list" names, and the index entry that leads to it. That one is named by
// the hash of the compilation, of which a build ID begins with the first 15
// bytes, in base64 (cmd/internal/buildid).
func keep(kept map[string][]byte, listed string) error {
	id, output, ok := strings.Cut(listed, " ")
	action, _, _ := strings.Cut(id, "/")
	hash, err := base64.RawURLEncoding.DecodeString(action)
	if !ok || err != nil {
		return fmt.Errorf("go list says %q, not a build ID and a file", listed)
	}
	pattern := fmt.Sprintf("%02x/%x*-a", hash[0], hash)
	cache := filepath.Dir(filepath.Dir(output))
	found, err := filepath.Glob(filepath.Join(cache, pattern))
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("the build cache has %d entries %s, not one", len(found), pattern)
	}
	index, err := os.ReadFile(found[0])
	if err != nil {
		return err
	}
	body, err := os.ReadFile(output)
	if err != nil {
		return err
	}
	m := indexEntry.FindSubmatch(index)
	if m == nil {
		return fmt.Errorf("the build cache has an entry of another form: %q", index)
	}
	kept[name(found[0])] = fmt.Appendf(bytes.Clone(m[1]), " %20d\n", epoch.UnixNano())
	kept[name(output)] = body
	return nil
}

// name is a file's path in its cache.
func name(file string) string {
	return filepath.Join(filepath.Base(filepath.Dir(file)), filepath.Base(file))
}

// indexEntry is a file of the cache that leads from an action to its output:
// both ids, the size, and when it was written, in nanoseconds. The last would
// make the image another each time, and is made the epoch.
var indexEntry = regexp.MustCompile(`^(v1 [0-9a-f]{64} [0-9a-f]{64} +\d+) +\d+\n$`)
