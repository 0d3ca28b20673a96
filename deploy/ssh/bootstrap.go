package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// Look takes the host as it is: nothing is installed, replaced or started.
	// No drayd is ErrAbsent then; one that this dray can't speak with, or whose
	// agent is down, is an error.
	Look bool
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
	if h.Role != "" {
		return nil, b.asItIs(h)
	}
	switch decide(h, ours, b.options.Look) {
	case keepTheirs:
		return nil, nil
	case replaceTheirs:
		return ours, nil
	case tooOld:
		return nil, &SetupError{Host: b.transport.Name(), Kind: SetupOlder,
			Detail: fmt.Sprintf("its drayd %s speaks API %d, which is older than this dray (%s, API %d); looking does not replace it", h.Version, h.API, ours.Version, ours.API),
			Next:   "dray host setup " + b.transport.Name()}
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

// asItIs is the fault of a host's drayd that can't be used and not be replaced:
// this connection has a role, and so no shell.
func (b *bootstrap) asItIs(h link.Hello) error {
	if h.API == api.Version {
		return nil
	}
	return &SetupError{Host: b.transport.Name(), Kind: SetupRole,
		Detail: fmt.Sprintf("its drayd %s speaks API %d, this dray %d, and role %s can't replace it", h.Version, h.API, api.Version, h.Role),
		Next:   "ask somebody with a shell and root there for: dray host setup " + b.transport.Name()}
}

type decision int

const (
	keepTheirs decision = iota
	replaceTheirs
	impossible
	tooOld // it would be replaced, were this not only a look
)

// decide tells whether the installed bundle is used: the same one is; a
// newer release with our API is; one with a newer API never is replaced, for
// its agent may have written what an older one can't read.
func decide(h link.Hello, ours *bundle.Bundle, look bool) decision {
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
	case h.API == ours.API && (look || newerRelease(h.Version, ours.Version)):
		return keepTheirs
	case look:
		return tooOld
	}
	return replaceTheirs
}

// newerRelease compares released versions; a development build is never one.
func newerRelease(theirs, ours string) bool {
	theirs, ours = "v"+strings.TrimPrefix(theirs, "v"), "v"+strings.TrimPrefix(ours, "v")
	released := semver.IsValid(theirs) && semver.Prerelease(theirs) == "" && semver.Build(theirs) == ""
	return released && semver.IsValid(ours) && semver.Compare(theirs, ours) > 0
}

var errNoAnswer = errors.New("drayd gave no answer")

const helloTimeout = 30 * time.Second // an agent that has to be started takes up to 25

// open runs connectScript: the result is a Session, or the facts of a host
// without drayd.
func (b *bootstrap) open(ctx context.Context) (*Session, *facts, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, helloTimeout,
		fmt.Errorf("%s: %w within %s", b.transport.Name(), errNoAnswer, helloTimeout))
	defer cancel()
	p, err := b.transport.Start(ctx, connectCommand(b.options.Look))
	if err != nil {
		return nil, nil, err
	}
	in := newPrefaceReader(p.Stdio)
	stop := context.AfterFunc(ctx, func() { _ = p.Stdio.Close() })
	s, err := newSession(b.transport, p, in)
	inTime := stop()
	if err == nil && inTime {
		return s, nil, nil
	}
	if err == nil {
		s.leave()
	}
	defer func() { _ = p.Stdio.Close() }() // the error is known
	if ctx.Err() != nil {
		return nil, nil, b.late(ctx, in)
	}
	if in.absent != nil {
		return nil, in.absent, nil
	}
	return nil, nil, b.explain(p, in, err)
}

// late is the error of a host that gave no answer in time.
func (b *bootstrap) late(ctx context.Context, in *prefaceReader) error {
	cause := context.Cause(ctx)
	banner := screen(in.banner.String())
	if !errors.Is(cause, errNoAnswer) || in.greeted || banner == "" {
		return cause
	}
	return &SetupError{Host: b.transport.Name(), Kind: SetupAgent, Err: cause,
		Detail: fmt.Sprintf("drayd gave no answer within %s; before it, the user's shell there printed:\n%s", helloTimeout, banner),
		Next:   "let the shell's start files print nothing when there is no terminal"}
}

// explain says why drayd connect gave no hello.
func (b *bootstrap) explain(p *Process, in *prefaceReader, err error) error {
	if lost := b.transport.Err(); lost != nil {
		return lost
	}
	if in.greeted {
		fault := &SetupError{Host: b.transport.Name(), Kind: SetupAgent, Detail: err.Error(), Err: err,
			Next: "look at the agent's log there: journalctl -u dray, or /var/lib/dray/agent.log"}
		if b.options.Look {
			fault.Next = "dray host setup " + b.transport.Name() + " starts it; its log there: journalctl -u dray, or /var/lib/dray/agent.log"
		}
		return fault
	}
	ended := p.Wait()
	output := screen(in.banner.String() + "\n" + p.Stderr.String())
	if strings.Contains(output, "sudo:") && !b.becomesRoot() {
		return noRoot(b.transport.Name(), b.user(), output)
	}
	return &SetupError{Host: b.transport.Name(), Kind: SetupAgent, Err: errors.Join(err, ended),
		Detail: fmt.Sprintf("the command there gave no answer (%v): %s", ended, cmp.Or(output, "it printed nothing")),
		Next:   "does the user's shell there run commands?"}
}
