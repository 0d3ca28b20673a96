package unpack

import (
	"log/slog"
	"sync"

	"golang.org/x/sys/unix"
)

// Config says how a store's layers are unpacked.
type Config struct {
	Command  []string // its process calls Main
	Memory   int64    // bytes of memory that the children of one pull may use together
	MaxLayer int64    // bytes that one layer may unpack to
	Groups   Groups   // of control groups
	Log      *slog.Logger
}

// Session is the unpacking of one pull.
type Session struct {
	config Config
	budget budget
	once   sync.Once
	group  *group // nil where there is none
}

// Open begins the unpacking of a pull that may take so much of everything.
func Open(c Config, limit Amount) *Session {
	return &Session{config: c, budget: budget{left: limit}}
}

// Close ends it. Its children must have ended.
func (s *Session) Close() {
	if s.group == nil {
		return
	}
	if err := s.group.remove(); err != nil {
		s.config.Log.Warn("a control group remains", "error", err)
	}
}

// memoryGroup makes the session's control group, for files that go into dir.
func (s *Session) memoryGroup(dir string) *group {
	s.once.Do(func() {
		// The pages of files in memory are charged to who writes them: the limit
		// would be one of the layer's size.
		if inMemory(dir) {
			return
		}
		g, err := s.config.Groups.make(s.config.Memory)
		if err != nil {
			s.config.Log.Debug("layers are unpacked without a control group", "error", err)
			return
		}
		s.group = g
	})
	return s.group
}

func inMemory(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && (st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC)
}

// DefaultMemory is what unpacking may use where nobody says otherwise: 512 MiB,
// and half of a small host's memory.
func DefaultMemory() int64 {
	const enough = 512 << 20
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return enough
	}
	return min(enough, int64(info.Totalram*uint64(info.Unit)/2))
}
