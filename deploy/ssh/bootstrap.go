package ssh

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"dray/deploy/bundle"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/api/link"
)

// ConnectOptions tune Connect. The zero value is for use.
type ConnectOptions struct {
	// Keep uses the drayd that is installed, whichever it is, as long as this
	// dray understands it.
	Keep bool
	// Look keeps as well, and installs nothing where there is no drayd: that is
	// ErrAbsent.
	Look   bool
	Logger *slog.Logger
}

// Connect reaches the agent of a host: one round trip where this dray's bundle
// is installed already; otherwise it installs the bundle first. A host that
// runs a newer released version with the same API keeps it. Repeating Connect
// does no harm, nor do two at the same time.
//
// The Session owns t from then on; when Connect fails, t is still the
// caller's. ctx bounds the connecting alone. Why a host can't be used is a
// *SetupError.
func Connect(ctx context.Context, t Transport, find bundle.Func, o ConnectOptions, sink event.Sink) (*Session, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b := &bootstrap{transport: t, find: find, options: o,
		sink: event.With(sink, func(e *event.Event) { e.Host = t.Name() })}
	return b.connect(ctx)
}

type bootstrap struct {
	transport Transport
	find      bundle.Func
	options   ConnectOptions
	sink      event.Sink
}

func (b *bootstrap) connect(ctx context.Context) (*Session, error) {
	s, absent, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	var wanted *bundle.Bundle
	if absent != nil {
		wanted, err = b.wantedBy(*absent)
	} else {
		wanted, err = b.replacement(s.Hello)
	}
	if err == nil && wanted == nil {
		return s, nil
	}
	if s != nil {
		s.leave()
	}
	if err != nil {
		return nil, err
	}
	if err := b.install(ctx, wanted); err != nil {
		return nil, err
	}
	s, absent, err = b.open(ctx)
	if err != nil {
		return nil, err
	}
	if absent != nil {
		return nil, &SetupError{Host: b.transport.Name(), Kind: SetupAgent, Detail: "drayd was installed, but is gone again", Next: "look who removes /var/lib/dray there"}
	}
	return s, nil
}

// wantedBy returns the bundle for a host without drayd, if dray can run there.
func (b *bootstrap) wantedBy(f facts) (*bundle.Bundle, error) {
	if b.options.Look {
		return nil, &SetupError{Host: b.transport.Name(), Kind: SetupAgent, Detail: ErrAbsent.Error(), Next: "dray host setup " + b.transport.Name(), Err: ErrAbsent}
	}
	if err := f.check(b.transport.Name()); err != nil {
		return nil, err
	}
	found, err := b.find(f.arch)
	if err != nil {
		return nil, &SetupError{Host: b.transport.Name(), Kind: SetupBundle, Detail: "dray can not be installed there: " + err.Error(),
			Next: "use a released dray, or build drayd and dray-oci for linux/" + f.arch + " beside it", Err: err}
	}
	return found, nil
}

// replacement returns the bundle that is to replace the installed one, or nil.
func (b *bootstrap) replacement(h link.Hello) (*bundle.Bundle, error) {
	ours, err := b.find(h.Arch)
	if err != nil {
		ours = nil // then the host's must do
	}
	switch decide(h, ours, b.options.Keep || b.options.Look) {
	case keepTheirs:
		return nil, nil
	case replaceTheirs:
		return ours, nil
	}
	if ours == nil {
		return nil, &SetupError{Host: b.transport.Name(), Kind: SetupBundle, Err: err,
			Detail: fmt.Sprintf("its drayd %s speaks API %d, this dray %d, and has no bundle to replace it: %v", h.Version, h.API, api.Version, err),
			Next:   "use a released dray"}
	}
	return nil, &SetupError{Host: b.transport.Name(), Kind: SetupNewer,
		Detail: fmt.Sprintf("its drayd %s speaks API %d, which is newer than this dray (%s, API %d)", h.Version, h.API, ours.Version, ours.API),
		Next:   "update dray on this machine"}
}

type decision int

const (
	keepTheirs decision = iota
	replaceTheirs
	impossible
)

// decide settles whether the installed bundle is used: the same one is; a
// newer release with our API is; one with a newer API never is replaced, for
// its agent may have written what an older one can't read.
func decide(h link.Hello, ours *bundle.Bundle, keep bool) decision {
	switch {
	case ours == nil:
		if h.API == api.Version {
			return keepTheirs
		}
		return impossible
	case h.Bundle == ours.Digest:
		return keepTheirs
	case h.API > ours.API:
		return impossible
	case h.API == ours.API && (keep || newerRelease(h.Version, ours.Version)):
		return keepTheirs
	}
	return replaceTheirs
}

// newerRelease compares released versions; a development build is never one.
func newerRelease(theirs, ours string) bool {
	theirs, ours = "v"+strings.TrimPrefix(theirs, "v"), "v"+strings.TrimPrefix(ours, "v")
	released := semver.IsValid(theirs) && semver.Prerelease(theirs) == "" && semver.Build(theirs) == ""
	return released && semver.IsValid(ours) && semver.Compare(theirs, ours) > 0
}

const helloPatience = 30 * time.Second // an agent that has to be started takes up to 25

// open runs connectScript: the result is a Session, or the facts of a host
// without drayd.
func (b *bootstrap) open(ctx context.Context) (*Session, *facts, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, helloPatience,
		fmt.Errorf("%s: drayd gave no answer within %s", b.transport.Name(), helloPatience))
	defer cancel()
	p, err := b.transport.Start(ctx, connectCommand())
	if err != nil {
		return nil, nil, err
	}
	in := newPrefaced(p.Stdio)
	stop := context.AfterFunc(ctx, func() { _ = p.Stdio.Close() })
	s, err := newSession(b.transport, p, in)
	if !stop() && err == nil {
		s.leave()
		return nil, nil, context.Cause(ctx)
	}
	if err == nil {
		return s, nil, nil
	}
	defer func() { _ = p.Stdio.Close() }() // the error is known
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if in.absent != nil {
		return nil, in.absent, nil
	}
	return nil, nil, b.explain(p, in, err)
}

// explain says why drayd connect gave no hello.
func (b *bootstrap) explain(p *Process, in *prefaced, err error) error {
	if lost := b.transport.Err(); lost != nil {
		return lost
	}
	if in.greeted {
		return &SetupError{Host: b.transport.Name(), Kind: SetupAgent, Detail: err.Error(), Err: err,
			Next: "look at the agent's log there: journalctl -u dray, or /var/lib/dray/agent.log"}
	}
	ended := p.Wait()
	said := strings.TrimSpace(strings.Join(append(in.noise, p.Stderr.String()), "\n"))
	if strings.Contains(said, "sudo:") && !b.becomesRoot() {
		return noRoot(b.transport.Name(), b.user())
	}
	return &SetupError{Host: b.transport.Name(), Kind: SetupAgent, Err: errors.Join(err, ended),
		Detail: fmt.Sprintf("the command there gave no answer (%v): %s", ended, or(said, "it said nothing")),
		Next:   "does the user's shell there run commands?"}
}

// install brings a bundle to the host and waits until its agent runs.
func (b *bootstrap) install(ctx context.Context, wanted *bundle.Bundle) error {
	b.sink.Emit(event.Event{Type: event.HostState, State: event.Installing, Text: "dray " + wanted.Version, Digest: wanted.Digest})
	begun := time.Now()
	root := b.isRoot(ctx)
	p, err := b.transport.Start(ctx, receiveCommand(root, wanted.Hex(), wanted.Digest, wanted.Archive))
	if err != nil {
		return err
	}
	defer func() { _ = p.Stdio.Close() }() // Wait tells how it ended
	defer context.AfterFunc(ctx, func() { _ = p.Stdio.Close() })()
	err = b.upload(p, wanted)
	if ended := p.Wait(); ended != nil {
		err = b.setupFault(ended)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	b.sink.Emit(event.Event{Type: event.HostState, State: event.Ready, Text: "dray " + wanted.Version, Took: time.Since(begun).Seconds()})
	return nil
}

// isRoot tells whether the user there is root.
func (b *bootstrap) isRoot(ctx context.Context) bool {
	out, _, err := Run(ctx, b.transport, "id -u", nil)
	return err == nil && slices.Contains(strings.Fields(string(out)), "0")
}

// becomesRoot tells whether sudo does what it is asked. It also complains
// without refusing: about a host name that does not resolve, for one.
func (b *bootstrap) becomesRoot() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, _, err := Run(ctx, b.transport, "sudo -n true", nil)
	return err == nil
}

// user returns who the user there is, for a message.
func (b *bootstrap) user() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, _, err := Run(ctx, b.transport, "id -un", nil)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// upload sends the archive if the host wants it, and reads to the end.
func (b *bootstrap) upload(p *Process, wanted *bundle.Bundle) error {
	lines := bufio.NewScanner(p.Stdio)
	for lines.Scan() && lines.Text() != "dray-have" {
		if lines.Text() == "dray-want" {
			if err := b.send(p, wanted); err != nil {
				return err
			}
			break
		}
	}
	if _, err := io.Copy(io.Discard, p.Stdio); err != nil {
		return fmt.Errorf("%s: installing dray: %w", b.transport.Name(), err)
	}
	return lines.Err()
}

// send writes the archive and reports how far it is.
func (b *bootstrap) send(p *Process, wanted *bundle.Bundle) error {
	archive, err := wanted.Open()
	if err != nil {
		return fmt.Errorf("opening the bundle: %w", err)
	}
	defer func() { _ = archive.Close() }() // only read
	report := &progress{sink: b.sink, total: wanted.Size, subject: "bundle " + wanted.Hex()}
	if _, err := io.Copy(p.Stdio, io.TeeReader(archive, report)); err != nil {
		return fmt.Errorf("%s: sending dray: %w", b.transport.Name(), err)
	}
	report.emit()
	return p.EOF()
}

// setupFault explains the failure of the installation.
func (b *bootstrap) setupFault(err error) error {
	var exit *ExitError
	if !errors.As(err, &exit) {
		return err
	}
	host, said := b.transport.Name(), exit.Stderr
	fault := &SetupError{Host: host, Kind: SetupAgent, Detail: "installing dray failed: " + or(said, exit.Error()), Err: err,
		Next: "look at the agent's log there: journalctl -u dray, or /var/lib/dray/agent.log"}
	switch {
	case strings.Contains(said, "No space left") || strings.Contains(said, "no space left"):
		fault.Kind, fault.Detail, fault.Next = SetupSpace, "its disk is full: dray could not be installed; what runs there is untouched", "make room in /var/lib there"
	case exit.Code == 126 || strings.Contains(said, "Permission denied"):
		fault.Kind, fault.Detail, fault.Next = SetupNoExec, "programs in /var/lib/dray can not be executed: "+said, "mount the file system of /var/lib without noexec there"
	case strings.Contains(said, "dray-damaged"):
		fault.Kind, fault.Detail, fault.Next = SetupDamage, "the bundle that arrived is not the one that was sent; it was thrown away", "try again"
	case strings.Contains(said, "sudo:") && !b.becomesRoot():
		return noRoot(host, b.user())
	}
	return fault
}

// progress reports bytes, a few times a second.
type progress struct {
	sink        event.Sink
	subject     string
	done, total int64
	last        time.Time
}

// Write counts p.
func (p *progress) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	if time.Since(p.last) > 100*time.Millisecond {
		p.last = time.Now()
		p.emit()
	}
	return len(b), nil
}

func (p *progress) emit() {
	p.sink.Emit(event.Event{Type: event.Progress, Subject: p.subject, Text: "dray", Done: p.done, Total: p.total, Unit: "bytes"})
}
