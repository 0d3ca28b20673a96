package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/output"
	"dray/pipeline/phrase"
)

// VerifyError is a verify block that did not pass.
type VerifyError struct {
	Verify pipeline.Verify
	Err    error
	Output []string // its last lines
}

func (e *VerifyError) Error() string {
	return fmt.Sprintf("verify %s (%s) did not pass: %v", e.Verify.Name, e.Verify.At, e.Err)
}

// Unwrap returns why.
func (e *VerifyError) Unwrap() error { return e.Err }

// Hint shows the command's last words, and where it stands.
func (e *VerifyError) Hint() pipeline.Hint {
	return pipeline.Hint{Detail: phrase.LastLines(e.Output), Next: fmt.Sprintf("mend verify %s (%s)", e.Verify.Name, e.Verify.At)}
}

// verifier runs the environment's verify blocks for a deployment; nil where it
// has none.
func (r *Runner) verifier(env *pipeline.Environment, open Environment) func(context.Context, pipeline.Release) ([]pipeline.VerifyResult, error) {
	if len(env.Verify) == 0 {
		return nil
	}
	sink := event.With(r.Sink, func(e *event.Event) { e.Environment = env.Name })
	return func(ctx context.Context, release pipeline.Release) ([]pipeline.VerifyResult, error) {
		return r.verify(ctx, env, open.Addresses(), release, sink)
	}
}

// verify runs the environment's verify blocks in order, on this machine.
func (r *Runner) verify(ctx context.Context, env *pipeline.Environment, addresses map[string]string, release pipeline.Release, sink event.Sink) ([]pipeline.VerifyResult, error) {
	var passed []pipeline.VerifyResult
	for _, v := range env.Verify {
		_, err := stage(sink, "verify", v.Name, func(sink event.Sink) (struct{}, error) {
			return struct{}{}, r.verifyOne(ctx, v, r.verifyEnv(env, addresses, release), sink)
		})
		if err != nil {
			return nil, err
		}
		passed = append(passed, pipeline.VerifyResult{Name: v.Name, Passed: true, At: time.Now()})
	}
	return passed, nil
}

// outlive is how long the output of a command that ended is waited for, and how
// long one has to end that was interrupted.
const outlive = 5 * time.Second

// keepLines is how much of a command's output its failure shows.
const keepLines = 20

func (r *Runner) verifyOne(ctx context.Context, v pipeline.Verify, environ []string, sink event.Sink) error {
	ctx, cancel := context.WithTimeoutCause(ctx, v.Timeout.D(), fmt.Errorf("it did not end within %s", v.Timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, v.Command[0], v.Command[1:]...)
	cmd.Dir = r.Project.Dir
	cmd.Env = append(os.Environ(), environ...)
	for _, name := range slices.Sorted(maps.Keys(v.Env)) {
		cmd.Env = append(cmd.Env, name+"="+v.Env[name])
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = cmp.Or(r.outlive, outlive)
	var last []string
	out := &output.Lines{Each: func(line []byte) error {
		last = append(last[max(0, len(last)-keepLines+1):], string(line))
		sink.Emit(event.Event{Type: event.Output, Text: string(line)})
		return nil
	}}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	_ = out.Flush() // Each never fails
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well; a child that it left behind still holds its output
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s ended with exit code %d", strings.Join(v.Command, " "), exit.ExitCode())
	}
	if err != nil {
		return &VerifyError{Verify: v, Err: err, Output: last}
	}
	return nil
}

// verifyEnv says what a verify command finds in its environment; see
// pipeline.Verify.
func (r *Runner) verifyEnv(env *pipeline.Environment, addresses map[string]string, release pipeline.Release) []string {
	var urls []string
	for _, host := range env.Hosts {
		for _, s := range release.Services {
			if !slices.ContainsFunc(release.Placement[host], func(i string) bool { return strings.HasPrefix(i, s.Name+"/") }) {
				continue
			}
			for _, p := range s.Ports {
				if at := outsideAddress(p, addresses[host]); at != "" && p.Protocol == "tcp" {
					urls = append(urls, publishedURL(at, p.Publish))
				}
			}
		}
	}
	digest := ""
	for _, key := range slices.Sorted(maps.Keys(release.Images)) {
		digest = release.Images[key].Digest
		break
	}
	return []string{
		"DRAY_PROJECT=" + r.Project.Name, "DRAY_ENVIRONMENT=" + env.Name,
		"DRAY_RELEASE=" + release.ReleaseNumber().String(), "DRAY_DIGEST=" + digest,
		"DRAY_HOSTS=" + strings.Join(env.Hosts, " "), "DRAY_URLS=" + strings.Join(urls, " "),
	}
}

// outsideAddress is where a client finds a published port of a host: at the
// address that the host is reached by, unless the port is at another only. It is
// empty for a port that nobody outside reaches.
func outsideAddress(p pipeline.Port, host string) string {
	outside := p.Outside()
	switch {
	case len(outside) == 0:
		return ""
	case slices.Contains(outside, host):
		return host
	}
	if _, err := netip.ParseAddr(outside[0]); err == nil {
		return outside[0]
	}
	return host // everywhere, or an interface of which only the host knows the address
}

// publishedURL leaves the port out where it is HTTP's own.
func publishedURL(address string, port int) string {
	if port == 80 {
		return "http://" + strings.TrimSuffix(net.JoinHostPort(address, ""), ":")
	}
	return "http://" + net.JoinHostPort(address, strconv.Itoa(port))
}
