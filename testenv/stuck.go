package testenv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stick puts a process that can't be killed beside another: into its control
// groups and its pid namespace, asking a file system that does not answer (as a
// server of network files that is away). The kernel ends neither of the two, nor
// the first process of their namespace, until release is called.
func Stick(ctx context.Context, pid int) (release func() error, err error) {
	fs, err := mountSilent()
	if err != nil {
		return nil, err
	}
	cmd, err := startBeside(pid, "cat", filepath.Join(fs.dir, "file"))
	if err != nil {
		return nil, errors.Join(err, fs.end())
	}
	release = func() error {
		err := fs.end()
		_ = cmd.Wait() // it was killed meanwhile, or reads an error
		return err
	}
	if err := until(ctx, "the process hangs", func() (bool, error) { return fs.asked(), nil }); err != nil {
		return nil, errors.Join(err, release())
	}
	return release, nil
}

// startBeside starts a program in the pid namespace and the groups of a process.
func startBeside(pid int, argv ...string) (*exec.Cmd, error) {
	groups, err := groupsOf(pid)
	if err != nil {
		return nil, err
	}
	var script strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&script, "echo 0 >%s/cgroup.procs\n", g)
	}
	script.WriteString(`exec "$@"`)
	cmd := exec.Command("sh", append([]string{"-ec", script.String(), "sh"}, argv...)...)
	started := make(chan error)
	go func() { // ends with the start; the thread, whose children are elsewhere, ends with it
		runtime.LockOSThread()
		started <- func() error {
			ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", pid))
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWPID); err != nil {
				return fmt.Errorf("entering the pid namespace of %d: %w", pid, err)
			}
			return cmd.Start()
		}()
	}()
	return cmd, <-started
}

// groupsOf lists the folders of a process's groups on the machine.
func groupsOf(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	all, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var dirs []string
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for _, h := range all {
			controllers := strings.Split(strings.TrimPrefix(parts[1], "name="), ",")
			if h.v2 && parts[1] == "" || !h.v2 && slices.Contains(controllers, h.name) {
				dirs = append(dirs, h.path(parts[2]))
			}
		}
	}
	return dirs, nil
}

// silent is a FUSE file system (linux/fuse.h) that says who it is, and answers
// nothing else. Who asks it waits uninterruptibly once it has read the question.
type silent struct {
	dir    string
	device *os.File
	read   chan struct{} // closed when it has been asked
}

const (
	fuseInit     = 26
	fuseMajor    = 7
	fuseMinor    = 31
	fuseHeader   = 40 // of a question: length, operation and so on
	fuseAnswer   = 16 // the header of an answer
	fuseInitBody = 64
)

func mountSilent() (*silent, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/fuse: %w", err)
	}
	dir, err := os.MkdirTemp("", "silent")
	if err == nil {
		err = unix.Mount("silent", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV,
			"fd="+strconv.Itoa(fd)+",rootmode=40000,user_id=0,group_id=0,allow_other")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mounting a file system that hangs: %w", err), unix.Close(fd), os.Remove(dir))
	}
	s := &silent{dir: dir, device: os.NewFile(uintptr(fd), "/dev/fuse"), read: make(chan struct{})}
	go s.serve() // ends when the device is closed
	return s, nil
}

// serve says who it is, and reads on.
func (s *silent) serve() {
	question := make([]byte, 1<<20)
	for first := true; ; {
		n, err := s.device.Read(question)
		if err != nil || n < fuseHeader {
			return
		}
		if binary.NativeEndian.Uint32(question[4:]) == fuseInit {
			if _, err := s.device.Write(introduction(question)); err != nil {
				return
			}
		} else if first {
			close(s.read)
			first = false
		}
	}
}

// introduction answers the first question: version, and modest limits.
func introduction(question []byte) []byte {
	unique := binary.NativeEndian.Uint64(question[8:])
	var b bytes.Buffer
	for _, word := range []any{
		uint32(fuseAnswer + fuseInitBody), int32(0), unique,
		uint32(fuseMajor), uint32(fuseMinor), uint32(1 << 17), uint32(0), uint16(16), uint16(12), uint32(1 << 17), uint32(1),
	} {
		_ = binary.Write(&b, binary.NativeEndian, word) // into memory
	}
	return append(b.Bytes(), make([]byte, fuseAnswer+fuseInitBody-b.Len())...)
}

func (s *silent) asked() bool {
	select {
	case <-s.read:
		return true
	default:
		return false
	}
}

// end has all who wait read an error: the kernel gives up a file system whose
// last descriptor is closed.
func (s *silent) end() error {
	return errors.Join(s.device.Close(), unix.Unmount(s.dir, unix.MNT_DETACH), os.Remove(s.dir))
}
