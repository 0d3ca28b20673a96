package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"dray/testenv"
)

// Faults of single things on a host: what is broken is to be shown, everything
// else goes on, and nothing is killed or deleted because it can't be read.

// undo undoes what the fault has noted how to.
func undo(ctx context.Context, s *scene) error {
	if s.undo == nil {
		return nil
	}
	return s.undo(ctx)
}

// rulesGap is how long a host may fail to answer after its rules were flushed
// and are back: connections of that time try again.
const rulesGap = 2 * time.Second

// flushRules does what a firewall's reload does, and waits until dray's rules
// are back.
func flushRules(ctx context.Context, s *scene) error {
	s.probes.excuse(s.host.Name, time.Now())
	defer func() { s.probes.amend(s.host.Name, time.Now().Add(rulesGap)) }()
	if _, err := s.host.Exec(ctx, "nft", "flush", "ruleset"); err != nil {
		return err
	}
	return s.answers(ctx)
}

// restartAgent ends the agent as an upgrade does.
func restartAgent(_ context.Context, s *scene) error {
	p, err := findProcess(s.host, "drayd agent")
	if err != nil {
		return err
	}
	return unix.Kill(p.PID, unix.SIGTERM)
}

// stick puts a process into an old container that nothing can kill until it is
// undone.
func stick(ctx context.Context, s *scene) error {
	id, err := s.runningOld(ctx)
	if err != nil {
		return err
	}
	shim, err := findProcess(s.host, " shim ", id)
	if err != nil {
		return err
	}
	first, err := childOf(shim.PID)
	if err != nil {
		return err
	}
	release, err := testenv.Stick(ctx, first)
	s.undo = func(context.Context) error {
		return release()
	}
	return err
}

// childOf is a child of a process.
func childOf(parent int) (int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			return strconv.Atoi(filepath.Base(filepath.Dir(path)))
		}
	}
	return 0, fmt.Errorf("%w: process %d has no child", errNone, parent)
}

// hideState makes the record of an old container unreadable, and the agent read
// it. When it can be read again, the container must be there.
func hideState(ctx context.Context, s *scene) error {
	id, err := s.runningOld(ctx)
	if err != nil {
		return err
	}
	name := filepath.Join("var/lib/dray/containers", id, "state.json")
	path := inside(s.host, name)
	if err := errors.Join(os.Rename(path, path+".hidden"), os.Mkdir(path, 0o700)); err != nil {
		return err
	}
	s.undo = func(ctx context.Context) error {
		path := inside(s.host, name)
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("a container was taken away because its record could not be read: %w", err)
		}
		return errors.Join(os.Rename(path+".hidden", path), killAgent(ctx, s), s.comesBack(ctx))
	}
	return killAgent(ctx, s)
}

// breakRecord puts an environment that can't be read beside the others into the
// agent's journal, and has it read.
func breakRecord(ctx context.Context, s *scene) error {
	key := []byte("shop/broken")
	change := func(do func(b *bbolt.Bucket) error) error {
		return s.withoutAgent(ctx, func() error {
			db, err := bbolt.Open(inside(s.host, "var/lib/dray/agent.db"), 0o600, &bbolt.Options{Timeout: time.Minute})
			if err != nil {
				return err
			}
			err = db.Update(func(tx *bbolt.Tx) error { return do(tx.Bucket([]byte("environments"))) })
			return errors.Join(err, db.Close())
		})
	}
	s.undo = func(ctx context.Context) error {
		return errors.Join(change(func(b *bbolt.Bucket) error { return b.Delete(key) }), s.comesBack(ctx))
	}
	return change(func(b *bbolt.Bucket) error { return b.Put(key, []byte(`{"fence": "seven"}`)) })
}

// withoutAgent does something while the agent is not there. Who keeps it is told
// to wait meanwhile.
func (s *scene) withoutAgent(_ context.Context, do func() error) error {
	keeper, err := findProcess(s.host, "drayd keep")
	if err != nil {
		return err
	}
	if err := unix.Kill(keeper.PID, unix.SIGSTOP); err != nil {
		return err
	}
	defer func() { _ = unix.Kill(keeper.PID, unix.SIGCONT) }() // it is there
	agent, err := findProcess(s.host, "drayd agent")
	if err == nil {
		err = unix.Kill(agent.PID, unix.SIGKILL)
	}
	if errors.Is(err, errNone) {
		err = nil // between two of them
	}
	return errors.Join(err, do())
}

// comesBack waits until the agent answers.
func (s *scene) comesBack(ctx context.Context) error {
	return eventually(ctx, time.Minute, "the agent answers", func() error {
		_, err := s.field.clients[s.host.Name].Host(ctx)
		return err
	})
}

// findProcess finds a process of a host whose command line has all words.
func findProcess(h *testenv.Host, words ...string) (testenv.Process, error) {
	processes, err := h.Processes()
	if err != nil {
		return testenv.Process{}, err
	}
next:
	for _, p := range processes {
		for _, w := range words {
			if !strings.Contains(p.Command, w) {
				continue next
			}
		}
		return p, nil
	}
	return testenv.Process{}, fmt.Errorf("%w: %s runs nothing like %q", errNone, h.Name, words)
}
