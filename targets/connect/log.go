package connect

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const largestLog = 10 << 20 // bytes; as much again is kept of what was before

// openLog opens the agent's log, and begins a new one where it is full.
func openLog() (*os.File, error) {
	if err := os.MkdirAll(stateDir, 0o711); err != nil {
		return nil, err
	}
	if info, err := os.Stat(agentLog); err == nil && info.Size() >= largestLog {
		if err := os.Rename(agentLog, agentLog+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(agentLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// AgentLog is where the agent writes: its standard error, which is bounded where
// it is a file of dray's and no journal that bounds itself.
func AgentLog() io.Writer {
	l := &boundedLog{out: []*os.File{os.Stderr, os.Stdout}}
	if !l.isCurrent(os.Stderr) {
		return os.Stderr
	}
	return l
}

// boundedLog writes to the agent's log through descriptors that it replaces when
// the log is full. What else writes to them, such as the runtime's last words,
// goes on too.
type boundedLog struct {
	mu  sync.Mutex
	out []*os.File // the first is written to
}

// Write implements io.Writer.
func (l *boundedLog) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if info, err := l.out[0].Stat(); err == nil && info.Size() >= largestLog {
		_ = l.reopen() // the old one goes on then
	}
	return l.out[0].Write(text)
}

// follow goes over to the log that is the current one by now.
func (l *boundedLog) follow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.isCurrent(l.out[0]) {
		_ = l.reopen() // as above
	}
}

// reopen replaces those descriptors that lead to the log that was.
func (l *boundedLog) reopen() (err error) {
	old, err := l.out[0].Stat()
	if err != nil {
		return err
	}
	log, err := openLog()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	for _, f := range l.out {
		if info, statErr := f.Stat(); statErr == nil && os.SameFile(info, old) {
			err = errors.Join(err, unix.Dup3(int(log.Fd()), int(f.Fd()), 0))
		}
	}
	return err
}

// isCurrent says whether a descriptor leads to the agent's log.
func (l *boundedLog) isCurrent(f *os.File) bool {
	info, err := f.Stat()
	log, logErr := os.Stat(agentLog)
	return err == nil && logErr == nil && os.SameFile(info, log)
}
