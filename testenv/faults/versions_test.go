package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dray/testenv/world"
)

// others are drays of other versions than the client's, which is 1.0.0 and
// speaks API 1.
var others = []struct {
	name, version string
	api           int
	code          int  // of the client's deployment to a host that the other one set up
	stays         bool // the other one's agent
}{
	{"an older release", "0.9.0", 1, 0, false},
	{"a newer release", "99.0.0", 1, 0, true},
	{"a newer API", "99.0.0", 2, 1, true},
}

// TestVersions deploys to a host that a dray of another version has set up,
// and that runs a release. The containers don't notice.
func TestVersions(t *testing.T) {
	if !*all {
		t.Skip("it builds dray four times: -args -all")
	}
	f := newField(t)
	client := f.version(t, "1.0.0", 1)
	for _, other := range others {
		t.Run(other.name, func(t *testing.T) {
			theirs := f.version(t, other.version, other.api)
			theirs.Dray(t, 0, append([]string{deploy, "one"}, vars(f.next())...)...)
			version := f.current(t, "one")
			p, err := f.probe(t.Context(), "one")
			if err != nil {
				t.Fatal(err)
			}
			next := f.next()
			r := client.Run(t.Context(), append([]string{deploy, "one"}, vars(next)...)...)
			if r.Code != other.code {
				t.Errorf("want exit %d: %s", other.code, r)
			}
			if other.code == 0 {
				version = next
			} else if !strings.Contains(r.Stderr, "API 2") || !strings.Contains(r.Stderr, "update dray") {
				t.Errorf("it does not say what is wrong: %s", r)
			}
			if now, err := f.whole(t.Context(), "o1", "one"); err != nil || now != version {
				t.Errorf("version %d runs (%v), want %d", now, err, version)
			}
			facts, err := f.clients["o1"].Host(t.Context())
			if err != nil || (facts.Version == other.version) != other.stays {
				t.Errorf("the host has drayd %s (%v); that %s stays should be %t", facts.Version, err, other.version, other.stays)
			}
			if _, silent := p.stop(); len(silent) > 0 {
				t.Error(silent)
			}
			theirs.Dray(t, 0, "down", "--yes", "one")
			f.wipe(t, "o1")
		})
	}
}

// wipe makes a host without containers as if dray had never been there.
func (f *field) wipe(t *testing.T, host string) {
	t.Helper()
	h := f.Lab.Host(host)
	for killProcess(h, "drayd keep") == nil || killProcess(h, "drayd agent") == nil {
		time.Sleep(10 * time.Millisecond) // until they are gone
	}
	if _, err := h.Exec(t.Context(), "rm", "-rf", "/var/lib/dray", "/run/dray"); err != nil {
		t.Fatal(err)
	}
}

// version builds dray and drayd as that version, and gives a world that uses
// them.
func (f *field) version(t *testing.T, version string, api int) *world.World {
	t.Helper()
	root, dir := checkout(t), t.TempDir()
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X dray/targets/api.BuildVersion=" + version}
	if api != 1 {
		args = append(args, "-overlay", overlay(t, root, dir, api))
	}
	for _, program := range []string{"dray", "drayd"} {
		cmd := exec.CommandContext(t.Context(), "go", append(slices.Clone(args), "-o", filepath.Join(dir, program), "./cmd/"+program)...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building %s %s: %v\n%s", program, version, err, out)
		}
	}
	oci, err := os.ReadFile(filepath.Join(f.Bin, "dray-oci"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "dray-oci"), oci, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	other := *f.World
	other.Bin, other.Env = dir, append(slices.Clone(f.Env), "DRAY_BUNDLE_DIR="+dir)
	return &other
}

// overlay has the compiler read another API version.
func overlay(t *testing.T, root, dir string, api int) string {
	t.Helper()
	path := filepath.Join(root, "targets", "api", "release.go")
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(source), "const Version = 1\n", fmt.Sprintf("const Version = %d\n", api), 1)
	if changed == string(source) {
		t.Fatal("the API's version is not where it was")
	}
	replaced := filepath.Join(dir, "release.go")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{path: replaced}})
	for file, content := range map[string][]byte{replaced: []byte(changed), filepath.Join(dir, "overlay.json"): text} {
		if err == nil {
			err = os.WriteFile(file, content, 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "overlay.json")
}

func checkout(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}
