//go:build failpoint

package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// failpoint stops or ends the agent at a change of its journal, so that faults
// are tried at exactly that step. Nothing of it happens unless root puts a
// file "failpoint" of one line into the run folder:
//
//	before|after POINT COUNT wait|exit
//
// POINT names a change ("confirm"; "*" is any), and the COUNT-th time counts.
// Programs that are given to people have none: only those built with the tag
// failpoint do, for tests.
//
// exit ends the agent as a power cut would. wait renames the file to
// "failpoint.reached", with the moment in it, and goes on when that is removed.
type failpoint struct {
	run string // folder
	log *slog.Logger
	mu  sync.Mutex
}

// commitHooks are what the agent calls before and after each change.
func commitHooks(run string, log *slog.Logger) (before, after func(point string)) {
	f := &failpoint{run: run, log: log}
	return f.at("before"), f.at("after")
}

const failpointPoll = 5 * time.Millisecond

// at returns what the agent calls at that moment of each change.
func (f *failpoint) at(moment string) func(point string) {
	return func(point string) {
		if reached := f.arrive(moment, point); reached != "" {
			f.log.Warn("waiting at a failpoint", "moment", moment, "point", point, "until", reached+" is removed")
			for {
				if _, err := os.Lstat(reached); err != nil {
					return
				}
				time.Sleep(failpointPoll)
			}
		}
	}
}

// arrive counts, and returns the file to wait for, if any.
func (f *failpoint) arrive(moment, point string) (reached string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := filepath.Join(f.run, "failpoint")
	text, err := os.ReadFile(path)
	if err != nil {
		return "" // the usual case: there is none
	}
	var when, where, action string
	var count int
	if _, err := fmt.Sscan(string(text), &when, &where, &count, &action); err != nil {
		f.log.Warn("reading the failpoint", "file", path, "error", err)
		return ""
	}
	if when != moment || (where != "*" && where != point) {
		return ""
	}
	line := fmt.Sprintln(when, where, count-1, action)
	if count <= 1 {
		line = fmt.Sprintln(moment, point)
	}
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		f.log.Warn("writing the failpoint", "file", path, "error", err)
	}
	switch {
	case count > 1:
		return ""
	case action == "exit":
		_ = os.Remove(path)
		os.Exit(137)
	}
	if err := os.Rename(path, path+".reached"); err != nil {
		f.log.Warn("arriving at the failpoint", "file", path, "error", err)
		return ""
	}
	return path + ".reached"
}
