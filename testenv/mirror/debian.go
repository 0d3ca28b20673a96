package mirror

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const suite = "bookworm"

func debianKey() (string, error) { return form + "-" + runtime.GOARCH + "-" + suite, nil }

// makeDebian runs debootstrap against the mirror that apt uses here. It takes
// a minute, and so is done only when somebody asks. The archive has no times,
// but it has what the mirror had that day: the digest is this cache's own.
func makeDebian(ctx context.Context, dir string) (v1.Image, error) {
	if _, err := exec.LookPath("debootstrap"); err != nil {
		return nil, errors.New("this machine lacks debootstrap: apt-get install --no-install-recommends debootstrap")
	}
	root := filepath.Join(dir, "root")
	// A mount namespace of its own, for debootstrap mounts /proc and /sys and
	// may be interrupted.
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child",
		"debootstrap", "--variant=minbase", suite, root, debianMirror("/etc/apt"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("running debootstrap: %w: %s", err, lastLines(out, 5))
	}
	if err := os.WriteFile(filepath.Join(root, "etc/machine-id"), nil, 0o644); err != nil {
		return nil, err
	}
	all, err := makeLayer(dir, func(a *archive) error { return a.tree(root, "", notSlim) })
	if err != nil {
		return nil, err
	}
	return imageOf(v1.Config{Cmd: []string{"bash"}, Env: []string{"PATH=" + searchPath}}, all)
}

// notSlim tells what an image of debootstrap's tree leaves out: documents, as
// Debian's slim images do, and what differs from run to run.
func notSlim(path string) bool {
	switch path {
	case "etc/hostname", "etc/resolv.conf", "var/cache/ldconfig/aux-cache", "debootstrap":
		return true
	}
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/log", "var/tmp",
		"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/groff", "usr/share/lintian"} {
		if strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return strings.HasPrefix(path, "var/lib/dpkg/") && strings.HasSuffix(path, "-old")
}

// archiveURI finds a URI of Debian's archive in either form of apt's sources
// (sources.list(5)); the security archive is another and has no base system.
var archiveURI = regexp.MustCompile(`(?m)^(?:deb(?: +\[[^]]*\])?|URIs:) +(https?://\S+/debian/?)(?:\s|$)`)

// DebianArchive is the address of the Debian archive that apt uses here.
func DebianArchive() string { return debianMirror("/etc/apt") }

// debianMirror gives the mirror in apt's sources; empty leaves the choice to
// debootstrap.
func debianMirror(etc string) string {
	files := []string{filepath.Join(etc, "sources.list")}
	for _, pattern := range []string{"*.sources", "*.list"} {
		found, err := filepath.Glob(filepath.Join(etc, "sources.list.d", pattern))
		if err == nil { // the patterns are right, so it is
			files = append(files, found...)
		}
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // absent, or unreadable: the next may do
		}
		if m := archiveURI.FindSubmatch(text); m != nil {
			return string(m[1])
		}
	}
	return "" // debootstrap has one of its own
}

func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}
