package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

const (
	digestOne = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	digestTwo = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	keyOne    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEZ5jgCdBAIo9dbKUVOuTTzgXrhbPyQWf1YPT9DVFYnt"
)

func readLock(t *testing.T, dir string) *Lock {
	t.Helper()
	k, diags := ReadLock(dir)
	if len(diags) > 0 {
		t.Fatal(render(t, diags))
	}
	return k
}

// Two processes that write at once lose nothing of each other's.
func TestLockUpdatesKeepWhatOthersWrote(t *testing.T) {
	dir := t.TempDir()
	first, second := readLock(t, dir), readLock(t, dir)
	var group errgroup.Group
	for i := range 20 {
		for name, k := range map[string]*Lock{"first": first, "second": second} {
			group.Go(func() error {
				return k.Update(func(now *Lock) error { return now.SetBase(fmt.Sprintf("%s%d", name, i), digestOne) })
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := len(readLock(t, dir).Bases()); got != 40 {
		t.Errorf("%d of 40 are there", got)
	}
	if first.Base("first0") != digestOne {
		t.Error("what was written is not in the lock that wrote it")
	}
}

func TestLockUpdateWritesNothingAfterAFault(t *testing.T) {
	dir := t.TempDir()
	k := readLock(t, dir)
	broken := errors.New("broken")
	err := k.Update(func(now *Lock) error { return errors.Join(now.SetBase("busybox", digestOne), broken) })
	if !errors.Is(err, broken) || len(k.Bases()) != 0 {
		t.Errorf("got %v, %v", err, k.Bases())
	}
	if _, err := os.Stat(k.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

func TestLockWritesInOrder(t *testing.T) {
	dir := t.TempDir()
	k := readLock(t, dir)
	agent := bytes.Repeat([]byte{7}, 32)
	for _, err := range []error{
		k.SetHostKey("p2", keyOne+" root@p2"),
		k.SetBase("golang:1.26", digestTwo),
		k.SetHostKey("p1", keyOne),
		k.SetAgentKey("p1", agent),
		k.SetBase("docker.io/library/busybox:latest", digestTwo),
		k.SetBase("docker.io/library/busybox:latest", digestOne),
		k.write(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(k.Path())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/lock.golden.hcl", got)

	back := readLock(t, dir)
	if back.Bases()["docker.io/library/busybox:latest"] != digestOne || back.HostKey("p2") != keyOne || !bytes.Equal(back.AgentKey("p1"), agent) {
		t.Errorf("read back %v %v", back.Bases(), back.HostKeys())
	}
	for _, ref := range []string{"busybox", "docker.io/busybox:latest", "index.docker.io/library/busybox"} {
		if back.Base(ref) != digestOne {
			t.Errorf("%s is pinned to %q", ref, back.Base(ref))
		}
	}
	if back.HostKey("p3") != "" || back.AgentKey("p2") != nil || len(back.HostKeys()) != 2 {
		t.Errorf("there is more than was written: %v", back.HostKeys())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLockKeepsWhatItDoesNotKnow(t *testing.T) {
	const before = `# mine
base "example.com/b:latest" {
  digest = "` + digestOne + `" # pinned by ann
  later  = ["x"]
}

# of a later dray
future "x" {
  a = 1
}
`
	dir := write(t, map[string]string{LockFileName: before})
	k := readLock(t, dir)
	if err := k.SetBase("example.com/b", digestTwo); err != nil {
		t.Fatal(err)
	}
	if err := k.SetHostKey("p1", keyOne); err != nil {
		t.Fatal(err)
	}
	if err := k.SetBase("example.com/a", digestOne); err != nil {
		t.Fatal(err)
	}
	if err := k.write(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(k.Path())
	if err != nil {
		t.Fatal(err)
	}
	want := "base \"example.com/a:latest\" {\n  digest = \"" + digestOne + "\"\n}\n\n" +
		strings.Replace(before, digestOne, digestTwo, 1) +
		"\nhost \"p1\" {\n  key = \"" + keyOne + "\"\n}\n"
	if string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestLockRefuses(t *testing.T) {
	k := readLock(t, t.TempDir())
	for name, err := range map[string]error{
		"digest":    k.SetBase("a", "sha256:abc"),
		"key":       k.SetHostKey("p1", "ssh-ed25519 AAAA"),
		"algorithm": k.SetHostKey("p1", strings.Replace(keyOne, "ssh-ed25519", "ssh-rsa", 1)),
		"agent key": k.SetAgentKey("p1", []byte("short")),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := len(k.Bases()) + len(k.HostKeys()); got != 0 {
		t.Errorf("%d entries were made", got)
	}
}

func TestFaultyLock(t *testing.T) {
	src := `base "a" { digest = "latest" }
base "b" { digest = local.x }
base "c" { digest = "` + digestOne + `" }
base "c" { digest = "` + digestOne + `" }
base {}
host "p1" { key = "ssh-ed25519 AAAA" }
host "p2" { agent_key = "AAAA" }
`
	dir := write(t, map[string]string{LockFileName: src})
	k, diags := ReadLock(dir)
	if k != nil {
		t.Error("a faulty lock was returned")
	}
	golden(t, "testdata/lock.txt", []byte(strings.ReplaceAll(render(t, diags), dir+string(filepath.Separator), "")))
}

func FuzzLock(f *testing.F) {
	f.Add([]byte("base \"a\" {\n  digest = \"" + digestOne + "\"\n}\n"))
	f.Add([]byte("# c\nhost \"p1\" { key = \"" + keyOne + "\" }"))
	f.Fuzz(func(t *testing.T, src []byte) {
		k := &Lock{path: LockFileName}
		if k.parse(src).HasErrors() {
			return
		}
		bases := len(k.bases)
		if err := k.SetBase("example.com/x:1", digestTwo); err != nil {
			t.Fatalf("%q: %v", src, err)
		}
		if k.Bases()["example.com/x:1"] != digestTwo || len(k.bases) < bases {
			t.Errorf("%q became %q", src, k.src)
		}
	})
}
