package ssh

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dray/deploy/bundle"
	"dray/pipeline/event"
)

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
	host, output := b.transport.Name(), screen(exit.Stderr)
	fault := &SetupError{Host: host, Kind: SetupAgent, Detail: "installing dray failed: " + cmp.Or(output, exit.Error()), Err: err,
		Next: "look at the agent's log there: journalctl -u dray, or /var/lib/dray/agent.log"}
	switch {
	case strings.Contains(output, "No space left") || strings.Contains(output, "no space left"):
		fault.Kind, fault.Detail, fault.Next = SetupSpace, "its disk is full: dray could not be installed; what runs there is untouched", "make room in /var/lib there"
	case exit.Code == 126 || strings.Contains(output, "Permission denied"):
		fault.Kind, fault.Detail, fault.Next = SetupNoExec, "programs in /var/lib/dray can not be executed: "+output, "mount the file system of /var/lib without noexec there"
	case strings.Contains(output, "dray-damaged"):
		fault.Kind, fault.Detail, fault.Next = SetupDamage, "the bundle that arrived is not the one that was sent; it was thrown away", "try again"
	case strings.Contains(output, "sudo:") && !b.becomesRoot():
		return noRoot(host, b.user(), output)
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
