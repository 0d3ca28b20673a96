package buildkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sync/errgroup"

	"dray/builder"
	"dray/pipeline"
	"dray/pipeline/event"
)

func (l *lab) status() Status {
	l.t.Helper()
	s, err := ReadStatus(l.t.Context(), l.options.Embedded)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

func TestOneServer(t *testing.T) {
	l := newLab(t)
	if _, err := ReadStatus(t.Context(), l.options.Embedded); !errors.Is(err, ErrNotRunning) {
		t.Errorf("before the start: %v", err)
	}
	var group errgroup.Group
	for i := range 4 {
		req := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo " + fmt.Sprint(i) + " > /n\n"})
		group.Go(func() error {
			c, err := Connect(t.Context(), l.options)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Build(t.Context(), req, event.Discard)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(l.options.Embedded.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), "builder ready"); n != 1 {
		t.Errorf("%d servers became ready", n)
	}
}

func TestIdleExit(t *testing.T) {
	l := newLab(t)
	l.options.Embedded.Idle = pipeline.Duration(50 * time.Millisecond)
	c := l.client()
	if s := l.status(); s.Clients != 1 || !s.IdleSince.IsZero() {
		t.Errorf("in use: %+v", s)
	}
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	l.waitGone(ctx)
	for _, path := range []string{l.options.Embedded.identityFile(), l.options.Embedded.socket()} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left", path)
		}
	}
	l.client() // the next one starts it again
}

func TestReplacedWhenIdle(t *testing.T) {
	l := newLab(t)
	connect := func(version string) *Client {
		o := l.options
		o.Embedded.Version = version
		c, err := Connect(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, pid := connect("1"), l.status().PID
	second := connect("2")
	if l.status().PID != pid {
		t.Error("a server in use was replaced")
	}
	for _, c := range []*Client{first, second} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, func() bool { return l.status().Clients == 0 })
	defer connect("2").Close()
	if s := l.status(); s.PID == pid || s.Version != "2" {
		t.Errorf("the idle server of another version stays: %+v", s)
	}
}

// TestLost kills the builder in the middle of a build.
func TestLost(t *testing.T) {
	l := newLab(t)
	c := l.client()
	pid := l.status().PID
	req := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo started && sleep 60\n"})
	_, err := c.Build(t.Context(), req, event.Func(func(e event.Event) {
		if e.Type == event.Output {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}))
	if err == nil || !strings.Contains(err.Error(), "the connection to the builder was lost") {
		t.Errorf("got %v", err)
	}
	// The next server ends the step and takes its mounts away.
	l.mustBuild(project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"}))
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(l.options.Embedded.Dir))
	if err != nil || len(mounts) != 0 {
		t.Errorf("mounts are left: %+v %v", mounts, err)
	}
}

// wait returns when ok does.
func wait(t testing.TB, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("waited for 20s")
		case <-time.After(pollEvery):
		}
	}
}

func TestAfterKill(t *testing.T) {
	l := newLab(t)
	c := l.client()
	pid := l.status().PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.Close()
	req := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
	l.mustBuild(req)
	if l.status().PID == pid {
		t.Error("the killed server answers")
	}
}

func TestDamagedCache(t *testing.T) {
	l := newLab(t)
	req := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo again > /f\n"})
	before := l.mustBuild(req)
	l.stop()
	for _, name := range []string{"overlayfs/containerdmeta.db", "overlayfs/metadata_v2.db", "cache.db", "history.db"} {
		path := filepath.Join(l.options.Embedded.cacheDir(), name)
		if err := os.WriteFile(path, []byte(strings.Repeat("damaged ", 4096)), 0o600); err != nil {
			t.Fatal(err)
		}
		if after := l.mustBuild(req); after.Digest != before.Digest {
			t.Errorf("%s: digest %s, want %s", name, after.Digest, before.Digest)
		}
		l.stop()
	}
}

func TestStartFails(t *testing.T) {
	l := newLab(t)
	l.options.Embedded.Mirrors = map[string][]string{"docker.io": {"http://mirror.example"}}
	_, err := Connect(t.Context(), l.options)
	if err == nil || !strings.Contains(err.Error(), "plain http is for loopback addresses only") {
		t.Errorf("got %v", err)
	}
	l.options.Embedded.Runtime = filepath.Join(t.TempDir(), "no-runtime")
	_, err = Connect(t.Context(), l.options)
	if err == nil || !strings.Contains(err.Error(), "no-runtime") {
		t.Errorf("got %v", err)
	}
	// More than a pipe holds: the program has ended before all is written.
	err = launch(t.Context(), exec.Command("/bin/false"), make([]byte, 1<<20))
	if err == nil || !strings.Contains(err.Error(), "without a word") || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("got %v", err)
	}
	l.options.Embedded.Command = []string{"/bin/false"}
	_, err = Connect(t.Context(), l.options)
	if err == nil || !strings.Contains(err.Error(), "without a word") {
		t.Errorf("got %v", err)
	}
}

// TestAddress builds on a builder that is reached by its address, as another
// machine's would be: the image lands in the same store.
func TestAddress(t *testing.T) {
	l := useLab(t)
	l.client()
	o := Options{Address: "unix://" + l.options.Embedded.socket(), Images: t.TempDir()}
	var digests []string
	for range 2 {
		c, err := Connect(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		req := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo addressed > /f\n"})
		res, err := c.Build(t.Context(), req, event.Discard)
		if err != nil {
			t.Fatal(err)
		}
		files, latest := open(t, res).files()
		if files["f"] != "addressed\n" || res.Store != o.Images || latest.After(builder.LayerTime) {
			t.Errorf("%q %s in %s", files["f"], latest, res.Store)
		}
		digests = append(digests, res.Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("digests differ: %q", digests)
	}

	o.Address = "unix://" + filepath.Join(t.TempDir(), "nothing")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := Connect(ctx, o); err == nil || !strings.Contains(err.Error(), "connecting to the builder at unix://") {
		t.Errorf("no builder: %v", err)
	}
}

func TestUsageAndPrune(t *testing.T) {
	l := newLab(t)
	l.mustBuild(project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN seq 1 100000 > /numbers\n"}))
	c := l.client()
	before, err := c.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, bound := range []struct {
		keep   int64
		unused time.Duration
	}{{0, time.Hour}, {1 << 40, 0}, {1 << 40, time.Hour}} {
		if freed, err := c.PruneTo(t.Context(), bound.keep, bound.unused); err != nil || freed != 0 {
			t.Errorf("within %+v: freed %d (%v)", bound, freed, err)
		}
	}
	freed, err := c.PruneTo(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	after, err := c.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if before.Total == 0 || freed == 0 || after.Total >= before.Total {
		t.Errorf("before %+v, freed %d, after %+v", before, freed, after)
	}
}

func TestCgroupsAreRemoved(t *testing.T) {
	l := newLab(t)
	l.options.Embedded.CgroupParent = "/dray-build-test-own"
	l.mustBuild(project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN grep -q dray-build-test-own /proc/self/cgroup\n"}))
	l.stop()
	for _, root := range cgroupHierarchies() {
		if _, err := os.Stat(filepath.Join(root, "dray-build-test-own")); !os.IsNotExist(err) {
			t.Errorf("left in %s: %v", root, err)
		}
	}
}

// TestStopIsAnswered: who asks for the stop gets an answer, however fast the
// builder ends.
func TestStopIsAnswered(t *testing.T) {
	for range 200 {
		o := Embedded{Dir: filepath.Join(t.TempDir(), "b")}.withDefaults()
		err := errors.Join(os.Mkdir(o.Dir, 0o700), writeIdentity(o, "f"))
		if err != nil {
			t.Fatal(err)
		}
		l, err := listenUnix(o.socket())
		if err != nil {
			t.Fatal(err)
		}
		builds := newIdleListener(l, time.Minute)
		var group errgroup.Group
		stopControl, err := serveControl(o, builds, &group)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() error {
			<-builds.closed
			return stopControl()
		})
		if err := Stop(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}
