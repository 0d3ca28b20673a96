package runtime

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestCommandOf(t *testing.T) {
	image := ocispec.ImageConfig{Entrypoint: []string{"ie"}, Cmd: []string{"ic"}}
	for _, test := range []struct {
		name                string
		entrypoint, command []string
		want                string
	}{
		{"nothing given", nil, nil, "ie ic"},
		{"a command", nil, []string{"c"}, "ie c"},
		{"an entrypoint", []string{"e"}, nil, "e"},
		{"both", []string{"e"}, []string{"c"}, "e c"},
		{"an empty entrypoint", []string{}, []string{"c"}, "c"},
	} {
		got, err := commandOf(Spec{Entrypoint: test.entrypoint, Command: test.command}, image)
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, %v; want %q", test.name, got, err, test.want)
		}
	}
	if got, err := commandOf(Spec{}, ocispec.ImageConfig{}); err == nil {
		t.Errorf("nothing to run gave %q", got)
	}
}

func TestMergeEnv(t *testing.T) {
	got := mergeEnv([]string{"PATH=a", "X=1", "EMPTY="}, []string{"X=2", "=bad", "Y=3"}, []string{"PATH", "XX=4"})
	if want := "X=2 EMPTY= Y=3 XX=4"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCapabilitiesOf(t *testing.T) {
	got, err := capabilitiesOf([]string{"net_admin", "CAP_CHOWN"}, []string{"NET_RAW"})
	if err != nil || !slices.Contains(got, "CAP_NET_ADMIN") || slices.Contains(got, "CAP_NET_RAW") || len(got) != 14 {
		t.Errorf("%q, %v", got, err)
	}
	if got, err = capabilitiesOf([]string{"KILL"}, []string{"all"}); err != nil || !slices.Equal(got, []string{"CAP_KILL"}) {
		t.Errorf("all but one dropped: %q, %v", got, err)
	}
	if _, err := capabilitiesOf([]string{"ALL"}, nil); err == nil {
		t.Error("every capability was given")
	}
}

func TestHostsFile(t *testing.T) {
	got := hostsFile("web-1", netip.MustParseAddr("10.209.0.2"), []HostEntry{
		{netip.MustParseAddr("10.208.0.1"), []string{"db", "db.shop"}}, {netip.MustParseAddr("10.208.0.2"), nil},
	})
	for _, want := range []string{"127.0.0.1\tlocalhost\n", "10.209.0.2\tweb-1\n", "10.208.0.1\tdb db.shop\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "10.208.0.2") {
		t.Errorf("an address without a name in\n%s", got)
	}
}

func TestReachable(t *testing.T) {
	for _, test := range []struct {
		given, want string
		found       bool
	}{
		{"nameserver 127.0.0.53\nsearch example.com\n", "search example.com\n", false},
		{"# by hand\nnameserver 192.0.2.1\nnameserver ::1\noptions edns0\n", "nameserver 192.0.2.1\noptions edns0\n", true},
		{"nameserver fe80::1%eth0\n", "nameserver fe80::1%eth0\n", true},
		{"", "", false},
	} {
		if got, _, found := reachable(test.given); got != test.want || found != test.found {
			t.Errorf("%q gave %q, %v", test.given, got, found)
		}
	}
}

func TestUserOfAHostileImage(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "passwd"), []byte("evil:x:77:77::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	newRoot := func() string {
		root := t.TempDir()
		if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		return root
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	link := newRoot()
	must(os.Symlink(filepath.Join(outside, "passwd"), filepath.Join(link, "etc/passwd")))
	if u, err := userOf(link, "evil"); err == nil {
		t.Errorf("a link out of the root was followed: %+v", u)
	}
	inside := newRoot()
	must(os.Mkdir(filepath.Join(inside, "nix"), 0o755))
	must(os.WriteFile(filepath.Join(inside, "nix/passwd"), []byte("app:x:5:6::/:/bin/sh\n"), 0o644))
	must(os.Symlink("/nix/passwd", filepath.Join(inside, "etc/passwd")))
	if u, err := userOf(inside, "app"); err != nil || u.UID != 5 || u.GID != 6 {
		t.Errorf("an absolute link inside the root: %+v, %v", u, err)
	}
	pipe := newRoot()
	must(unix.Mkfifo(filepath.Join(pipe, "etc/passwd"), 0o644))
	if u, err := userOf(pipe, "app"); err == nil { // and it did not wait for a writer
		t.Errorf("a pipe was read: %+v", u)
	}
	none := t.TempDir()
	if u, err := userOf(none, "1234:99"); err != nil || u.UID != 1234 || u.GID != 99 {
		t.Errorf("numbers without files: %+v, %v", u, err)
	}
	if _, err := userOf(none, "app"); err == nil {
		t.Error("a name without files was found")
	}
}

func TestSystemCallsAreForOneArchitecture(t *testing.T) {
	s := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}}
	for architecture, want := range map[string]int{"amd64": 1, "": 1} {
		profile, err := defaultSystemCalls(s, architecture)
		if err != nil || len(profile.Architectures) != want || len(profile.Syscalls) == 0 {
			t.Errorf("%q: %v, %v", architecture, profile.Architectures, err)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]unix.Signal{
		"9": unix.SIGKILL, "SIGTERM": unix.SIGTERM, "hup": unix.SIGHUP, "SIGRTMIN+3": 37, "RTMIN": 34, "SIGRTMAX-2": 62, "-9": 0, "": 0, "0": 0, "65": 0, "SIGRTMIN+99": 0, "X": 0,
	} {
		got, err := ParseSignal(text)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q gave %d, %v; want %d", text, got, err, want)
		}
	}
}

func FuzzNetDev(f *testing.F) {
	f.Add("Inter-|   Receive\n eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n lo: 1\n")
	f.Fuzz(func(t *testing.T, data string) {
		for name := range parseNetDev(data) {
			if name == "lo" {
				t.Error("loopback is counted")
			}
		}
	})
}

// TestMountsCoverNothingDeeper has volumes and a tmpfs above a secret, a volume
// and the files in /etc: what lies deeper is mounted later.
func TestMountsCoverNothingDeeper(t *testing.T) {
	b := blueprint{
		spec: Spec{
			Tmpfs:  []string{"/run", "/data/cache"},
			Mounts: []Mount{{Destination: "/data/cache/deep"}, {Destination: "/etc/"}, {Destination: "/data"}, {Destination: "/run/secrets"}, {Destination: "/etc/hosts"}},
		},
		binds: []Mount{{Destination: "/etc/hosts", Source: "own"}, {Destination: "/run/secrets/db"}},
	}
	var got []string
	mounts, err := b.mounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		got = append(got, filepath.Clean(m.Destination))
	}
	for i, path := range got {
		for _, later := range got[i+1:] {
			if strings.HasPrefix(path, later+"/") {
				t.Errorf("%s is mounted over %s", later, path)
			}
		}
	}
	if last := slices.Index(got, "/etc/hosts"); mounts[last].Source != "own" {
		t.Error("a volume at the place of a file of the container's own is hidden by it")
	}
}

// TestMemoryFileSystems holds what a service says of its file systems in memory
// to what the kernel is told.
func TestMemoryFileSystems(t *testing.T) {
	b := blueprint{spec: Spec{Tmpfs: []string{"/run", "/cache:size=8m,mode=0700,exec"}, ShmSize: 256 << 20}}
	mounts, err := b.mounts()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range mounts {
		got[m.Destination] = strings.Join(m.Options, ",")
	}
	for path, want := range map[string]string{
		"/run": "nosuid,nodev,noexec,mode=1777", "/cache": "nosuid,nodev,exec,mode=0700,size=8388608",
		"/dev/shm": "nosuid,noexec,nodev,mode=1777,size=268435456",
	} {
		if got[path] != want {
			t.Errorf("%s is mounted with %s, want %s", path, got[path], want)
		}
	}
	b.spec.Tmpfs = []string{"/run:huge=always"}
	if _, err := b.mounts(); err == nil {
		t.Error("an option that dray does not know is passed over")
	}
}

func TestHostResolvers(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := write("own", "search corp.example.com\nnameserver 127.0.0.1\noptions ndots:2\n")
	behind := write("behind", "nameserver 10.0.0.53\n")
	stub, empty, missing := write("stub", "nameserver ::1\n"), write("empty", ""), filepath.Join(dir, "missing")
	for name, test := range map[string]struct {
		paths       []string
		want        string
		unreachable []string
	}{
		"a list behind a resolver of the host's": {[]string{own, missing, behind}, "nameserver 10.0.0.53\n", nil},
		"loopback only":                          {[]string{own, stub}, "search corp.example.com\noptions ndots:2\n", []string{"127.0.0.1", "::1"}},
		"none at all":                            {[]string{empty, missing}, "", nil},
	} {
		got, unreachable, err := hostResolvers(test.paths)
		if err != nil || got != test.want || !slices.Equal(unreachable, test.unreachable) {
			t.Errorf("%s: %q, %q, %v; want %q, %q", name, got, unreachable, err, test.want, test.unreachable)
		}
	}
}
