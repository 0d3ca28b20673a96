package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// TestMain also is the programs that the tests start.
func TestMain(m *testing.M) {
	programs := map[string]func() error{
		"unpack":    func() error { return Main(os.Stdin, os.Stdout) },
		"nosy":      func() error { return nosy(os.Stdin) },
		"greedy":    func() error { return greedy(os.Stdin, limitMemory) },
		"boundless": func() error { return greedy(os.Stdin, func(int64) error { return nil }) },
		"broken":    func() error { return errors.New("a thing is broken") },
		"silent":    func() error { return nil },
		"parent":    parent,
		"babble":    func() error { _, err := fmt.Println(strings.Repeat("x", 2*maxReport)); return err },
	}
	if len(os.Args) == 2 && programs[os.Args[1]] != nil {
		if err := programs[os.Args[1]](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// plenty is a budget that no test uses up.
var plenty = Amount{Stream: 1 << 30, Claimed: 1 << 30, Entries: 1 << 20, Names: 64 << 20, Folders: 1 << 20}

func session(t testing.TB, program string, memory int64) *Session {
	t.Helper()
	s := Open(Config{
		Command: []string{"/proc/self/exe", program}, Memory: memory, MaxLayer: 1 << 30, Log: slog.New(slog.DiscardHandler),
		Groups: Groups{Parent: "/dray", Prefix: "unpack-test-"},
	}, plenty)
	t.Cleanup(s.Close)
	return s
}

func unpack(t testing.TB, s *Session, dir string, layer []byte) (Result, error) {
	t.Helper()
	p := s.Start(t.Context(), Task{Dir: dir, Overlay: true})
	_, _ = p.Write(layer) // Wait says why it failed
	return p.Wait()
}

func layer(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	// As libcap writes cap_net_raw=ep: revision 2, one capability.
	raw := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	b := layer(t,
		tar.Header{Name: "a/b/file", Mode: 0o4755, Uid: 12, Gid: 34, PAXRecords: map[string]string{
			"SCHILY.xattr.security.capability": raw, "SCHILY.xattr.security.selinux": "system_u:object_r:bin_t:s0",
		}},
		tar.Header{Name: "a/.wh..wh..opq"}, tar.Header{Name: "a/.wh.gone"},
		tar.Header{Name: "a/b/other"}, tar.Header{Name: "c/link", Typeflag: tar.TypeLink, Linkname: "a/b/other", Mode: 0o2755, Uid: 12, Gid: 34},
	)
	res, err := unpack(t, session(t, "unpack", 256<<20), dir, b)
	if err != nil {
		t.Fatal(err)
	}
	if res.DiffID != digest.FromBytes(b) || strings.Join(res.Implicit, " ") != "a c a/b" || strings.Join(res.Opaque, " ") != "a" {
		t.Errorf("the result is %+v", res)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(dir, "a/b/other"), &st); err != nil || st.Mode != unix.S_IFREG|0o2755 || st.Uid != 12 || st.Gid != 34 || st.Nlink != 2 {
		t.Errorf("the file is %+v (%v)", st, err)
	}
	if err := unix.Lstat(filepath.Join(dir, "a/gone"), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("the whiteout is %+v (%v)", st, err)
	}
	value := make([]byte, 64)
	if n, err := unix.Lgetxattr(filepath.Join(dir, "a/b/file"), "security.capability", value); err != nil || string(value[:max(n, 0)]) != raw {
		t.Errorf("the capabilities are %q (%v)", value[:max(n, 0)], err)
	}
	if n, err := unix.Lgetxattr(filepath.Join(dir, "a/b/file"), "security.selinux", value); err == nil && string(value[:n]) == "system_u:object_r:bin_t:s0" {
		t.Error("the label of another host was set")
	}
}

// nosy is a child that was talked into things: it tries to get out and says
// how it went.
func nosy(in io.Reader) error {
	runtime.LockOSThread()
	var req request
	if err := json.NewDecoder(in).Decode(&req); err != nil {
		return err
	}
	outside, err := os.Open(req.Dir + "/..") // nothing of the kind is left open; if it were
	if err != nil {
		return err
	}
	if err := confine(req.Dir, 128<<20); err != nil {
		return err
	}
	at := int(outside.Fd())
	tries := map[string]error{
		"read outside": func() error { _, err := unix.Open("/../../../../etc/passwd", unix.O_RDONLY, 0); return err }(),
		"second root":  errors.Join(unix.Mkdir("/x", 0o755), unix.Chroot("/x")),
		"mount":        unix.Mount("none", "/x", "tmpfs", 0, ""),
		"mark":         unix.Setxattr("/", "trusted.overlay.opaque", []byte("y"), 0),
		"new space":    unix.Unshare(unix.CLONE_NEWNS),
		"reach out":    unix.Connect(must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)), &unix.SockaddrInet4{Port: 22, Addr: [4]byte{127, 0, 0, 1}}),
		"run":          unix.Exec("/file", nil, nil),
	}
	if hasLandlock() {
		tries["read beside"] = func() error { _, err := unix.Openat(at, "beside", unix.O_RDONLY, 0); return err }()
		tries["make beside"] = unix.Mkdirat(at, "made", 0o755)
	}
	for name, err := range tries {
		if err == nil {
			return fmt.Errorf("%s: nothing was in the way", name)
		}
	}
	return errors.New("all was refused")
}

func must(fd int, err error) int {
	if err != nil {
		return -1
	}
	return fd
}

func hasLandlock() bool {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return errno == 0 && version >= landlockRefer
}

func TestConfined(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "layer")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(top, "beside"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = unpack(t, session(t, "nosy", 256<<20), dir, nil)
	if err == nil || !strings.Contains(err.Error(), "all was refused") {
		t.Error(err)
	}
}

// greedy is a child that was talked into taking all the memory there is.
func greedy(in io.Reader, limit func(int64) error) error {
	var req request
	if err := json.NewDecoder(in).Decode(&req); err != nil {
		return err
	}
	if err := limit(req.Memory); err != nil {
		return err
	}
	var all [][]byte
	for range 1 << 10 {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
	}
	return fmt.Errorf("there was room for %d MiB", len(all))
}

func TestMemoryIsLimited(t *testing.T) {
	_, err := unpack(t, session(t, "greedy", 128<<20), t.TempDir(), nil)
	if !errors.Is(err, ErrMemory) {
		t.Errorf("the error is %v", err)
	}
}

// TestControlGroup: the kernel ends a child that does not end itself, and no
// group remains.
func TestControlGroup(t *testing.T) {
	if _, _, _, err := hierarchy(); err != nil {
		t.Skip("no control group of this process can have children: ", err)
	}
	s := session(t, "boundless", 128<<20)
	if _, err := unpack(t, s, t.TempDir(), nil); !errors.Is(err, ErrMemory) {
		t.Errorf("the error is %v", err)
	}
	if s.group == nil {
		t.Fatal("there was no control group")
	}
	s.Close()
	if _, err := os.Stat(s.group.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the group remains (%v)", err)
	}
}

func TestAChildThatFails(t *testing.T) {
	for program, want := range map[string]string{
		"broken": "the process that unpacks it ended (exit status 1): a thing is broken",
		"silent": "the process that unpacks it ended without an answer",
		"babble": errProtocol.Error(),
		"absent": "the process that unpacks it", // the tests, which must not start children in turn
	} {
		_, err := unpack(t, session(t, program, 256<<20), t.TempDir(), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", program, err, want)
		}
	}
}

// TestReportsAreForeign: what a child says is bounded like what a layer holds.
func TestReportsAreForeign(t *testing.T) {
	for name, lines := range map[string]string{
		"too much":    `{"took":{"entries":2000000}}`,
		"less":        `{"took":{"entries":-5}}`,
		"many":        strings.Repeat(`{"implicit":"`+strings.Repeat("n", 4000)+`"}`+"\n", 300),
		"no digest":   `{"done":"sha256:../../x"}`,
		"nonsense":    `hello`,
		"cut short":   `{"took":{"entries":5}}`,
		"a long line": `{"implicit":"` + strings.Repeat("n", maxReport) + `"}`,
	} {
		if _, err := receive(strings.NewReader(lines+"\n"), &Share{of: &budget{left: plenty}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// parent starts a child, says its number, and waits for ever.
func parent() error {
	s := Open(Config{Command: []string{"/proc/self/exe", "unpack"}, Memory: 256 << 20, MaxLayer: 1 << 30, Log: slog.New(slog.DiscardHandler), Groups: Groups{Parent: "/dray", Prefix: "unpack-test-"}}, plenty)
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	p := s.Start(context.Background(), Task{Dir: dir})
	if _, err := p.Write(make([]byte, 100)); err != nil {
		return err
	}
	fmt.Println(p.cmd.Process.Pid, dir)
	return p.running.Wait()
}

// TestAChildEndsWithItsParent kills the parent while a layer arrives.
func TestAChildEndsWithItsParent(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "parent")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	if _, err := fmt.Fscan(out, &pid, &dir); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000); n != 1 {
		t.Errorf("the child lives on (%v)", err)
	}
	if err := (Groups{Parent: "/dray", Prefix: "unpack-test-"}).Clear(); err != nil {
		t.Error(err)
	}
}
