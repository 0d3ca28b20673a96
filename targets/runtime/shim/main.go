package shim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"dray/targets/logs"
	"dray/targets/runtime/cgroup"

	"golang.org/x/sys/unix"
)

// A shim waits nearly all its life: a small heap matters more than the speed
// of its collector.
const (
	gcPercent = 25
	drainTime = 5 * time.Second // longest wait for output after the end
)

// Main is the shim's entry. args is the container's run folder, which becomes
// the working folder. It returns the exit code of the shim itself.
func Main(args []string) int {
	debug.SetGCPercent(gcPercent)
	outlive()
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "shim: one argument, the run folder, is expected")
		return 2
	}
	s, err := open(args[0])
	if err != nil {
		say(ready{Error: err.Error()})
		return 1
	}
	go s.reaper.run()
	status, err := s.create()
	if err != nil {
		s.close()
		say(ready{Error: err.Error()})
		return 1
	}
	go s.serve() // ends with this process
	say(ready{Pid: s.pid})
	detach()
	return s.end(<-status)
}

// outlive has the shim live through the signals that ask a process to end. They
// are meant for others: a service manager sends them to whatever stands in the
// agent's control group, and a host that goes down to everything. The container
// gets its own, and the shim is there to take its last output and its exit.
//
// The signals are caught, not ignored: the container would inherit that.
func outlive() {
	signal.Notify(make(chan os.Signal, 1), unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPWR, unix.SIGUSR1, unix.SIGUSR2)
}

// A shim is the state of one.
type shim struct {
	Config
	reaper   *reaper
	log      *logs.Writer
	listener net.Listener
	streams  *streams
	pid      int
	group    cgroup.Group
	kills    uint64 // for want of memory, before this start: a group may be used again
	watchers watchers
}

func open(folder string) (*shim, error) {
	if err := os.Chdir(folder); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(ConfigName)
	if err != nil {
		return nil, fmt.Errorf("reading the shim's configuration: %w", err)
	}
	s := &shim{reaper: newReaper()}
	if err := json.Unmarshal(data, &s.Config); err != nil {
		return nil, fmt.Errorf("reading the shim's configuration: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("becoming a subreaper: %w", err)
	}
	// The last to be chosen when memory runs out. It needs CAP_SYS_RESOURCE;
	// without it the shim is as likely as any other process.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-999"), 0)
	if s.log, err = logs.NewWriter(s.LogDir, s.Limits); err != nil {
		return nil, err
	}
	_ = os.Remove(socketName) // of a shim that was killed
	if s.listener, err = net.Listen("unix", socketName); err != nil {
		return nil, err
	}
	return s, nil
}

// create makes the container, whose pid 1 then waits to be started.
func (s *shim) create() (<-chan unix.WaitStatus, error) {
	var err error
	if s.streams, err = openStreams(s.TTY, s.Stdin, s.log); err != nil {
		return nil, err
	}
	argv := []string{s.OCI, "--root", s.OCIRoot, "--log", ociLogName, "--log-format", "json",
		"create", "--bundle", ".", "--pid-file", PidName}
	if s.TTY {
		argv = append(argv, "--console-socket", consoleName)
	}
	argv = append(argv, s.ID)
	ended, err := s.reaper.start(argv, &os.ProcAttr{Env: os.Environ(), Files: s.streams.theirs()})
	if err != nil {
		return nil, fmt.Errorf("starting the OCI runtime: %w", err)
	}
	connected := make(chan error, 1)
	go func() { connected <- s.streams.connect() }()
	if status := <-ended; status.ExitStatus() != 0 || status.Signaled() {
		return nil, errors.New(causeOf(exitCode(status)))
	}
	if err := <-connected; err != nil {
		return nil, err
	}
	pid, err := os.ReadFile(PidName)
	if err == nil {
		s.pid, err = strconv.Atoi(strings.TrimSpace(string(pid)))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the pid: %w", err)
	}
	if s.group, err = cgroup.Of(s.pid); err != nil {
		return nil, err
	}
	s.kills, _ = s.group.OOMKills() // without a memory controller there are none
	return s.reaper.adopt(s.pid), nil
}

// causeOf reads why the OCI runtime failed from its log: the last error.
func causeOf(code int) string {
	var cause string
	data, _ := os.ReadFile(ociLogName) // without it there is the exit code
	for line := range bytes.Lines(data) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(line, &entry) == nil && entry.Level == "error" {
			cause = entry.Msg
		}
	}
	if cause == "" {
		cause = "the OCI runtime ended with code " + strconv.Itoa(code)
	}
	return cause
}

// say tells the one who started the shim, who waits for a line.
func say(r ready) {
	line, _ := json.Marshal(r) // a struct of a string and a number can't fail
	_, _ = os.Stdout.Write(append(line, '\n'))
}

// detach lets go of the streams that belong to the one who started the shim.
func detach() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	for fd := range 2 { // stderr goes to a file of the run folder already
		_ = unix.Dup3(int(null.Fd()), fd, 0)
	}
	_ = null.Close()
}

// end does what is to be done after pid 1 has ended, in this order: the last
// output, exit.json, then those who wait for it.
func (s *shim) end(status unix.WaitStatus) int {
	exit := Exit{Pid: s.pid, Code: exitCode(status), At: time.Now().UTC()}
	kills, err := s.group.OOMKills()
	exit.OOMKilled = err == nil && kills > s.kills
	s.streams.drain(drainTime)
	code := 0
	if err := s.log.Close(); err != nil {
		code = 1
	}
	if err := writeExit(filepath.Join(s.StateDir, ExitName), exit); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	s.watchers.tell(exit)
	s.streams.close()
	s.close()
	return code
}

func (s *shim) close() { _ = s.listener.Close() }

// writeExit writes the file durably: after a power cut it is whole or absent.
func writeExit(path string, exit Exit) error {
	data, err := json.Marshal(exit)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
