package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dray/testenv/load"
)

// A stream of requests is a process of its own, which goes before others: it
// stands for machines that are elsewhere, and how long it waits for a
// processor of this one is not the service's doing.

// LoadVerb is the first argument by which bench runs itself as a stream; the
// second is a Load as JSON.
const LoadVerb = "load"

// Load says what to ask.
type Load struct {
	URL       string
	Rate      float64 // a second
	KeepAlive bool
	Duration  time.Duration // 0: until it is interrupted
}

// Seen is what a stream saw. Latencies are in seconds.
type Seen struct {
	Sent, Failed  int
	Errors        map[string]int
	P50, P99, Max float64
}

// add counts what another stream lost.
func (s *Seen) add(other Seen) {
	s.Sent, s.Failed = s.Sent+other.Sent, s.Failed+other.Failed
	for reason, n := range other.Errors {
		s.Errors[reason] += n
	}
}

// ServeLoad is the stream's own process: it says that it has begun, asks until
// it is told to stop or its time is over, and prints what it saw.
func ServeLoad(ctx context.Context, args []string) error {
	var l Load
	if len(args) != 1 {
		return errors.New("want one argument")
	}
	if err := json.Unmarshal([]byte(args[0]), &l); err != nil {
		return err
	}
	r, err := load.Start(ctx, &load.HTTP{URL: l.URL, Rate: l.Rate, KeepAlive: l.KeepAlive, Duration: l.Duration, Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	fmt.Println(begun)
	report := r.Wait()
	at := func(p float64) float64 { return report.Percentile(p).Seconds() }
	return json.NewEncoder(os.Stdout).Encode(Seen{report.Sent, report.Failed, report.Errors, at(50), at(99), at(100)})
}

const begun = "begun"

// priority is the nice value of a stream.
const priority = "-10"

// stream is a stream's process.
type stream struct {
	cmd *exec.Cmd
	out *bufio.Reader
	err strings.Builder
}

// start begins to ask.
func start(ctx context.Context, l Load) (*stream, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	s := &stream{cmd: exec.CommandContext(ctx, "nice", "-n", priority, self, LoadVerb, string(text))}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	s.cmd.Stderr = &s.err
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if line, err := s.out.ReadString('\n'); err != nil || strings.TrimSpace(line) != begun {
		return nil, fmt.Errorf("starting a stream of requests: %w: %s", errors.Join(err, s.cmd.Wait()), s.err.String())
	}
	return s, nil
}

// stop ends the stream and gives what it saw.
func (s *stream) stop() (Seen, error) {
	if err := s.cmd.Process.Signal(unix.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return Seen{}, err
	}
	return s.wait()
}

// wait waits until the stream ends by itself.
func (s *stream) wait() (seen Seen, err error) {
	text, err := io.ReadAll(s.out)
	if err = errors.Join(err, s.cmd.Wait()); err != nil {
		return seen, fmt.Errorf("asking for %s: %w: %s", s.cmd.Args[len(s.cmd.Args)-1], err, s.err.String())
	}
	return seen, json.Unmarshal(text, &seen)
}

// abandon ends the stream, whatever it saw; after wait or stop it does
// nothing.
func (s *stream) abandon() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill() // it may have ended
		_ = s.cmd.Wait()         // it was killed, and says so
	}
}

// atRest asks while nothing is done to the service.
func atRest(ctx context.Context, l Load) (Seen, error) {
	l.Duration = rest
	s, err := start(ctx, l)
	if err != nil {
		return Seen{}, err
	}
	defer s.abandon()
	return s.wait()
}
