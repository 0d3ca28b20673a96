package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"dray/testenv/world"
)

// commandLimit is how long a command may take before it counts as failed.
const commandLimit = 3 * time.Minute

// run is how one command went.
type run struct {
	Wall   time.Duration // from before fork to after wait
	CPU    time.Duration // user and system, of the client alone
	RSS    int64         // most bytes that the client had resident
	Stdout string
}

// dray runs a command of the built program in the project.
func (b *Bench) dray(ctx context.Context, args ...string) (run, error) {
	return drayIn(ctx, b.world, args...)
}

func drayIn(ctx context.Context, w *world.World, args ...string) (run, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := w.Command(ctx, args...)
	// Ctrl-C reaches this process alone; it lets dray leave a safe state.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGINT) }
	cmd.WaitDelay = 20 * time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	began := time.Now()
	err := cmd.Start()
	most := func() int64 { return 0 }
	if err == nil {
		most = watchMemory(cmd.Process.Pid)
		err = cmd.Wait()
	}
	r := run{Wall: time.Since(began), RSS: most(), Stdout: out.String()}
	if err != nil {
		return r, fmt.Errorf("dray %s: %w after %s\n%s%s", strings.Join(args, " "), err, r.Wall.Round(time.Millisecond), out.String(), errOut.String())
	}
	r.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return r, nil
}

// watchMemory follows the most that a process has had resident, by the
// kernel's own mark. The one that wait4(2) gives begins with what this process
// had when it forked.
func watchMemory(pid int) (most func() int64) {
	stop, seen := make(chan struct{}), make(chan int64, 1)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var last int64
		for {
			last = max(last, highWater(pid))
			select {
			case <-stop:
				seen <- last
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 { close(stop); return <-seen }
}

// highWater is VmHWM of proc_pid_status(5) in bytes; 0: the process has ended.
func highWater(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // gone is 0
	_, rest, ok := strings.Cut(string(text), "\nVmHWM:")
	if !ok {
		return 0
	}
	kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	return kib << 10
}

// repeat runs a command as often as asked, and checks what it said.
func (b *Bench) repeat(ctx context.Context, expect string, args ...string) (*series, error) {
	var s series
	for range b.Count {
		r, err := b.dray(ctx, args...)
		if err != nil {
			return nil, err
		}
		if !strings.Contains(r.Stdout, expect) {
			return nil, fmt.Errorf("dray %s does not say %q: %s", strings.Join(args, " "), expect, r.Stdout)
		}
		s.add(r)
	}
	return &s, nil
}

// ready deploys to an environment unless that was done.
func (b *Bench) ready(ctx context.Context, env string) error {
	if b.deployed[env] {
		return nil
	}
	if _, err := b.dray(ctx, "deploy", env); err != nil {
		return err
	}
	b.deployed[env] = true
	return nil
}

// pollPause is between two looks at a host: the error of "live" figures.
const pollPause = 5 * time.Millisecond

// awaitVersion looks at the hosts, each time with a fresh connection, until
// all answer with the version; wait gives the time of the last one's first
// answer.
func awaitVersion(ctx context.Context, addresses []string, version string) (wait func() (time.Time, error)) {
	group, ctx := errgroup.WithContext(ctx)
	seen := make([]time.Time, len(addresses))
	for i, address := range addresses {
		group.Go(func() error {
			client := freshClient()
			tick := time.NewTicker(pollPause)
			defer tick.Stop()
			for {
				if answers(ctx, client, "http://"+address+"/version", version+" ") {
					seen[i] = time.Now()
					return nil
				}
				select {
				case <-ctx.Done():
					return fmt.Errorf("waiting until %s serves %s: %w", address, version, context.Cause(ctx))
				case <-tick.C:
				}
			}
		})
	}
	return func() (time.Time, error) {
		err := group.Wait()
		var last time.Time
		for _, t := range seen {
			if t.After(last) {
				last = t
			}
		}
		return last, err
	}
}

// connectLimit is how long a question may take to connect before another is
// asked. The first packet to a container whose interface is not up yet is lost,
// and the kernel sends the next one after a second (RFC 6298, 2.1): who waited
// for that would find out a second too late that the service is there.
const connectLimit = 50 * time.Millisecond

// freshClient asks on a connection of its own each time.
func freshClient() *http.Client {
	dialer := &net.Dialer{Timeout: connectLimit}
	return &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext}}
}

func answers(ctx context.Context, client *http.Client, url, start string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	answer, err := client.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	return err == nil && strings.HasPrefix(string(body), start)
}

// addresses are those of an environment's hosts.
func (b *Bench) addresses(env string) []string {
	var out []string
	for _, e := range environments {
		if e.name == env {
			for _, h := range e.hosts {
				out = append(out, b.world.Lab.Host(h).Addr)
			}
		}
	}
	return out
}

// change makes a one-line change and deploys it. live is the time from the
// start of the command until every host answers with the new version.
func (b *Bench) change(ctx context.Context, env string, args ...string) (r run, live time.Duration, err error) {
	version, err := b.app.change()
	if err != nil {
		return r, 0, err
	}
	watching, stop := context.WithTimeout(ctx, commandLimit)
	defer stop()
	wait := awaitVersion(watching, b.addresses(env), version)
	began := time.Now()
	r, err = b.dray(ctx, append([]string{"deploy", env}, args...)...)
	if err != nil {
		stop()
		_, _ = wait() // what failed was the command
		return r, 0, err
	}
	at, err := wait()
	b.deployed[env] = true
	return r, at.Sub(began), err
}
