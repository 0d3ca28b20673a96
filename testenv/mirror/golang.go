package mirror

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
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

func makeGoCache(ctx context.Context, dir, root string) (*layer, error) {
	cache, err := os.MkdirTemp(dir, "gocache-")
	if err != nil {
		return nil, err
	}
	for _, flag := range []string{"-trimpath=false", "-trimpath=true"} {
		cmd := exec.CommandContext(ctx, filepath.Join(root, "bin/go"), append([]string{"build", flag}, warm...)...)
		cmd.Dir = dir
		cmd.Env = []string{"GOCACHE=" + cache, "GOROOT=" + root, "GOPATH=" + dir, "GOENV=off", "GOTOOLCHAIN=local",
			"GOPROXY=off", "CGO_ENABLED=0", "PATH=" + os.Getenv("PATH"), "HOME=" + dir}
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compiling the standard library: %w: %s", err, out)
		}
	}
	if err := fixTimes(cache); err != nil {
		return nil, err
	}
	return makeLayer(dir, func(a *archive) error {
		a.dir("root/.cache", 0o755)
		a.time = inFuture
		return a.tree(cache, "root/.cache/go-build", func(path string) bool { return path == "trim.txt" || path == "README" })
	})
}

// indexEntry is a file of the cache that leads from an action to its output:
// both ids, the size, and when it was written, in nanoseconds.
var indexEntry = regexp.MustCompile(`^(v1 [0-9a-f]{64} [0-9a-f]{64} +\d+) +\d+\n$`)

// fixTimes makes the cache's index the same whenever it was made.
func fixTimes(cache string) error {
	entries, err := filepath.Glob(filepath.Join(cache, "??", "*-a"))
	if err != nil {
		return err
	}
	for _, name := range entries {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		m := indexEntry.FindSubmatch(text)
		if m == nil {
			return fmt.Errorf("the build cache has an entry of another form: %q", text)
		}
		fixed := fmt.Appendf(bytes.Clone(m[1]), " %20d\n", epoch.UnixNano())
		if err := os.WriteFile(name, fixed, 0o644); err != nil {
			return err
		}
	}
	return nil
}
