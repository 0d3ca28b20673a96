package faults

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"dray/targets/api"
	"dray/testenv"
)

// scene is a trial at the moment of its fault.
type scene struct {
	field   *field
	env     string
	host    *testenv.Host
	before  *api.Environment // of that host, before the verb began
	client  *exec.Cmd
	ended   <-chan struct{} // closed when the client has ended
	probes  *probes
	flipped []string                        // names of blobs that were corrupted
	undo    func(ctx context.Context) error // of a fault that knows how; nil: there is nothing
}

// fault is something that goes wrong.
type fault struct {
	name string
	// make does it, while everything waits at the point. errNone says that
	// there is nothing to do it to.
	make func(ctx context.Context, s *scene) error
	// heal undoes it once the client has ended; nil: nothing is to be undone.
	heal func(ctx context.Context, s *scene) error
	// at says where it can happen; nil is everywhere.
	at func(trial) bool
	// registry says that the images go through the registry.
	registry bool
	// killed says that the client has no exit code of its own.
	killed bool
	// through says that the verb must succeed all the same.
	through bool
}

var errNone = errors.New("there is nothing to do that to")

var faults = []fault{
	{name: "nothing", make: func(context.Context, *scene) error { return nil }, through: true},
	{name: "client killed", make: killClient, killed: true},
	{name: "client interrupted", make: interruptClient},
	{name: "agent killed", make: killAgent},
	{name: "old shim killed", make: killOldShim},
	{name: "new shim killed", make: killNewShim, at: func(tr trial) bool { return tr.point.new }},
	{name: "network cut", make: cut, heal: restore},
	{name: "network cut for a second", make: cutShortly},
	{name: "host rebooted", make: reboot},
	{name: "host shut down", make: shutDown},
	{name: "host stopped", make: stopHost, heal: startHost},
	{name: "disk full", make: fillDisk, heal: freeDisk},
	{name: "blob corrupted", make: corruptBlob, heal: mendBlob},
	{name: "rules flushed", make: flushRules},
	{name: "agent restarted", make: restartAgent},
	{name: "process stuck", make: stick, heal: undo},
	{name: "state unreadable", make: hideState, heal: undo},
	{name: "record broken", make: breakRecord, heal: undo},
	{name: "registry failing", make: failRegistry, heal: mendRegistry, at: pulling, registry: true, through: true},
	{name: "registry stalling", make: stallRegistry, heal: mendRegistry, at: pulling, registry: true, through: true},
	{name: "registry lying", make: lieRegistry, heal: mendRegistry, at: pulling, registry: true, through: true},
}

func killClient(_ context.Context, s *scene) error { return s.client.Process.Kill() }

func interruptClient(_ context.Context, s *scene) error {
	return s.client.Process.Signal(unix.SIGINT)
}

// killProcess kills a process of a host whose command line has all words.
func killProcess(h *testenv.Host, words ...string) error {
	p, err := findProcess(h, words...)
	if err != nil {
		return err
	}
	if err := unix.Kill(p.PID, unix.SIGKILL); errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%w: %s has ended by itself", errNone, p.Command)
	} else if err != nil {
		return err
	}
	return nil
}

// pulling says that the host may be asking the registry.
func pulling(tr trial) bool { return tr.point.pulls && tr.verb == deploy }

// What a registry does wrong is of no consequence: the image comes up the
// client's own connection then.
func failRegistry(_ context.Context, s *scene) error {
	s.field.registry.Faults.Fail(10_000, 500)
	return nil
}

func stallRegistry(_ context.Context, s *scene) error {
	s.field.registry.Faults.Stall()
	return nil
}

func lieRegistry(_ context.Context, s *scene) error {
	s.field.registry.Faults.Corrupt(10_000)
	return nil
}

func mendRegistry(_ context.Context, s *scene) error {
	s.field.registry.Faults.Clear()
	return nil
}

func killAgent(_ context.Context, s *scene) error { return killProcess(s.host, "drayd agent") }

// shimGap is how long a host may fail to answer single requests after a
// container that served was killed: until the agent has seen its end.
const shimGap = 2 * time.Second

func killOldShim(ctx context.Context, s *scene) error {
	return killShim(ctx, s, func(i api.InstanceStatus) bool { return i.Release == s.before.Current.Number })
}

func killNewShim(ctx context.Context, s *scene) error {
	return killShim(ctx, s, func(i api.InstanceStatus) bool { return i.Release != s.before.Current.Number })
}

// killShim kills the shim of one container, of one that serves if there is
// one.
func killShim(ctx context.Context, s *scene, is func(api.InstanceStatus) bool) error {
	id, err := s.running(ctx, is)
	if err != nil {
		return err
	}
	// It serves, or is about to: nobody has seen its end yet.
	s.probes.excuse(s.host.Name, time.Now())
	defer func() { s.probes.amend(s.host.Name, time.Now().Add(shimGap)) }()
	return killProcess(s.host, " shim ", id)
}

// running is the container of an instance that runs, of one that serves if there
// is one. Where the agent can't be asked, what ran before is what is there.
func (s *scene) running(ctx context.Context, is func(api.InstanceStatus) bool) (id string, err error) {
	asking, cancel := context.WithTimeout(ctx, time.Second) // it does not answer at every point
	defer cancel()
	now, err := s.field.environment(asking, s.host.Name, s.env)
	if err != nil {
		now = s.before
	}
	var chosen *api.InstanceStatus
	for i, instance := range now.Instances {
		if is(instance) && instance.State == "running" && (chosen == nil || instance.Serving && !chosen.Serving) {
			chosen = &now.Instances[i]
		}
	}
	if chosen == nil {
		return "", errNone
	}
	return chosen.ContainerID, nil
}

func (s *scene) runningOld(ctx context.Context) (id string, err error) {
	return s.running(ctx, func(i api.InstanceStatus) bool { return i.Release == s.before.Current.Number })
}

func cut(_ context.Context, s *scene) error {
	s.probes.excuse(s.host.Name, time.Now())
	return s.host.Cut()
}

func restore(ctx context.Context, s *scene) error {
	defer func() { s.probes.amend(s.host.Name, time.Now()) }()
	return errors.Join(s.host.Restore(), s.answers(ctx))
}

func cutShortly(ctx context.Context, s *scene) error {
	if err := cut(ctx, s); err != nil {
		return err
	}
	time.Sleep(time.Second)
	return restore(ctx, s)
}

func reboot(ctx context.Context, s *scene) error {
	return errors.Join(stopHost(ctx, s), startHost(ctx, s))
}

// shutDown boots the host anew as its owner does: containers are stopped first,
// as a service manager would have drayd do.
func shutDown(ctx context.Context, s *scene) error {
	s.probes.excuse(s.host.Name, time.Now())
	_, err := s.host.Exec(ctx, "/var/lib/dray/bin/current/drayd", "shutdown")
	return errors.Join(err, s.host.Stop(ctx), startHost(ctx, s))
}

func stopHost(ctx context.Context, s *scene) error {
	s.probes.excuse(s.host.Name, time.Now())
	return s.host.Stop(ctx)
}

// bootGap is how long a host may fail to answer single requests after its first
// answer: its other instances may be about to listen.
const bootGap = 2 * time.Second

// startHost boots the host and waits until it serves again, with nobody
// connected.
func startHost(ctx context.Context, s *scene) error {
	defer func() { s.probes.amend(s.host.Name, time.Now().Add(bootGap)) }()
	return errors.Join(s.host.Start(ctx), s.answers(ctx))
}

func (s *scene) answers(ctx context.Context) error {
	return eventually(ctx, time.Minute, s.host.Name+" answers", func() error {
		_, err := get(ctx, s.host, "/up")
		return err
	})
}

// fillDisk leaves the host nothing to write to.
func fillDisk(_ context.Context, s *scene) error { return s.host.FillDisk(0) }

func freeDisk(_ context.Context, s *scene) error { return s.host.FreeDisk() }

// corruptBlob changes a byte of every blob that the host keeps.
func corruptBlob(_ context.Context, s *scene) error {
	blobs, err := filepath.Glob(inside(s.host, "var/lib/dray/store/content/blobs/sha256/*"))
	if err != nil {
		return err
	}
	for _, path := range blobs {
		if err := flip(path); err != nil {
			return err
		}
		s.flipped = append(s.flipped, filepath.Base(path))
	}
	if len(blobs) == 0 {
		return errNone
	}
	return nil
}

// mendBlob changes the bytes back, of the blobs that are still those.
func mendBlob(_ context.Context, s *scene) error {
	for _, name := range s.flipped {
		path := inside(s.host, filepath.Join("var/lib/dray/store/content/blobs/sha256", name))
		if content, err := os.ReadFile(path); err != nil || fmt.Sprintf("%x", sha256.Sum256(content)) == name {
			continue // it is gone, or has been fetched again
		}
		if err := flip(path); err != nil {
			return err
		}
	}
	return nil
}

func flip(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, 0)
	if err == nil {
		b[0] ^= 1
		_, err = f.WriteAt(b, 0)
	}
	return errors.Join(err, f.Close())
}
