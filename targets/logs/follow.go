package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// follow reads what is there and then what comes. It watches the folder, not
// a file, so that a rotation wakes it too; the watch begins before the first
// read, so nothing falls between.
func follow(ctx context.Context, dir string, q Query, each func(Record) error) error {
	watch, err := watchFolder(dir)
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	var group errgroup.Group
	group.Go(func() error { return notify(watch, changed) })
	err = followFiles(ctx, dir, q, each, changed)
	return errors.Join(err, watch.Close(), group.Wait())
}

func followFiles(ctx context.Context, dir string, q Query, each func(Record) error, changed <-chan struct{}) error {
	files, err := openAll(dir)
	if err != nil {
		return err
	}
	defer func() { closeAll(files) }()
	if err := readHistory(ctx, files, q, each); err != nil {
		return err
	}
	var due <-chan time.Time
	if !q.Until.IsZero() {
		timer := time.NewTimer(time.Until(q.Until))
		defer timer.Stop()
		due = timer.C
	}
	for last := false; ; {
		if files, err = readNew(ctx, dir, files, q, each); err != nil || last {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-due:
			last = true
		case <-q.Ended:
			last = true
		}
	}
}

// readNew reads what was appended, through any number of rotations, and
// returns the files that are open now.
func readNew(ctx context.Context, dir string, files []*file, q Query, each func(Record) error) ([]*file, error) {
	for {
		if len(files) > 0 {
			if err := files[len(files)-1].read(ctx, q, each); err != nil {
				return files, err
			}
			if !rotated(dir, files[len(files)-1]) {
				return files, nil
			}
		}
		newer, err := newerFiles(dir, files)
		if err != nil {
			return files, err
		}
		if len(files) > 0 { // its last words, now that nothing is added to it
			if err := files[len(files)-1].read(ctx, q, each); err != nil {
				closeAll(newer)
				return files, err
			}
		}
		if len(newer) == 0 {
			return files, nil
		}
		closeAll(files)
		files = newer[:1]
		closeAll(newer[1:])
	}
}

// rotated says whether the newest file of dir is another than f. Between the
// two renames of a rotation there is none; its end wakes us again.
func rotated(dir string, f *file) bool {
	info, err := os.Stat(filePath(dir, 0))
	return err == nil && !os.SameFile(info, f.info)
}

// newerFiles opens the files that are newer than the last of files. It is
// found among them by its identity; where it is gone already, all are newer.
func newerFiles(dir string, files []*file) ([]*file, error) {
	all, err := openAll(dir)
	if err != nil || len(files) == 0 {
		return all, err
	}
	for i, f := range all {
		if files[len(files)-1].same(f) {
			closeAll(all[:i+1])
			return all[i+1:], nil
		}
	}
	return all, nil
}

// watchFolder returns an inotify descriptor that reports changes in dir
// (inotify(7)).
func watchFolder(dir string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watching the log: %w", err)
	}
	watch := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		return nil, errors.Join(fmt.Errorf("watching the log in %s: %w", dir, err), watch.Close())
	}
	return watch, nil
}

// notify turns events into wake-ups until watch is closed.
func notify(watch *os.File, changed chan<- struct{}) error {
	buffer := make([]byte, 4096)
	for {
		if _, err := watch.Read(buffer); err != nil {
			if errors.Is(err, os.ErrClosed) {
				return nil
			}
			return fmt.Errorf("watching the log: %w", err)
		}
		select {
		case changed <- struct{}{}:
		default: // one is waiting already
		}
	}
}
