package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// state is what is written of a lab, so that another process can go on with it.
type state struct {
	Name     string
	Keep     bool // outlives its owner
	Subnet   int  // N of draylabN and 10.210.N.0/24; -1 before it has one
	DiskSize int64
	Init     Init
	Bastion  string
	Behind   bool
	Layer    string // folder that is copied onto each host's disk; empty: none
	Docker   bool
	Firewall bool
	Hosts    []*hostState
	Mirror   *MirrorProcess `json:",omitempty"`

	mu sync.Mutex // held for each change while hosts are worked on side by side
}

// hostState is what is written of a host.
type hostState struct {
	Name   string
	Number int     // last byte of its address
	Init   process // its process 1 on the machine; zero: it is off
}

// address gives 10.210.N.number.
func (s *state) address(number int) string {
	return fmt.Sprintf("10.210.%d.%d", s.Subnet, number)
}

func readState(dir string) (*state, error) {
	text, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if err != nil {
		return nil, err
	}
	s := new(state)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("reading lab.json: %w", err)
	}
	return s, nil
}

// save writes the state whole or not at all. It need not survive the machine:
// no part of a lab does but its disks.
func (l *Lab) save() error {
	text, err := json.MarshalIndent(l.state, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(l.Dir, "lab.json")
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return fmt.Errorf("writing the lab's state: %w", err)
	}
	return os.Rename(path+".new", path)
}

// record makes a change to the state and writes it down.
func (l *Lab) record(change func()) error {
	l.state.mu.Lock()
	defer l.state.mu.Unlock()
	change()
	return l.save()
}

// Lock takes the lock of a lab that is there, for those who change it; closing
// the file, or dying, gives it back. The owner of a lab that ends with its
// process holds it all the time.
func Lock(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name, "lock"), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("locking lab %s: %w", name, err)
	}
	return f, lock(f, name)
}

// newLock makes the lock of a new lab, taken.
func newLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("making the lab's lock: %w", err)
	}
	return f, lock(f, filepath.Base(dir))
}

func lock(f *os.File, name string) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("lab %s is in use by another process: %w", name, err), f.Close())
	}
	return nil
}

// Sweep removes the labs, below dir or with a bridge, that were to end with
// their process and did not: nobody holds their lock.
func Sweep(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dirs, err := bridged()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if full := filepath.Join(dir, e.Name()); !slices.Contains(dirs, full) {
			dirs = append(dirs, full)
		}
	}
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, sweepOne(ctx, dir))
	}
	return errors.Join(errs...)
}

func sweepOne(ctx context.Context, dir string) error {
	s, err := readState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // just being made, or no lab
	}
	if err != nil || s.Keep {
		return err
	}
	lock, err := Lock(filepath.Split(dir))
	if err != nil {
		return nil // its owner lives, or has just removed it
	}
	l := newLab(dir, s, nil)
	l.lock = lock
	return l.Close(ctx)
}
