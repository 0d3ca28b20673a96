package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exec runs a command in the host as root, beside its SSH server, and gives
// what it printed. It is for looking and for assertions; the error of a
// command that failed carries what it said. It returns when the command ends,
// whatever that has left running.
func (h *Host) Exec(ctx context.Context, argv ...string) (string, error) {
	cmd := h.Command(ctx, argv...)
	// Files, not pipes: what the command leaves running would hold a pipe open.
	out, err := os.CreateTemp("", "lab-exec-")
	if err != nil {
		return "", err
	}
	defer out.Close()
	errs, err := os.CreateTemp("", "lab-exec-")
	if err != nil {
		return "", errors.Join(err, os.Remove(out.Name()))
	}
	defer errs.Close()
	if err := errors.Join(os.Remove(out.Name()), os.Remove(errs.Name())); err != nil {
		return "", err
	}
	cmd.Stdout, cmd.Stderr = out, errs
	failed := cmd.Run()
	text, err := readBack(out)
	if failed == nil || err != nil {
		return text, err
	}
	said, err := readBack(errs)
	if err != nil {
		return text, err
	}
	return text, fmt.Errorf("on host %s: %s: %w: %s", h.Name, strings.Join(argv, " "), failed, strings.TrimSpace(said))
}

func readBack(f *os.File) (string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	text, err := io.ReadAll(f)
	return string(text), err
}

// Command prepares what Exec runs, for a caller with streams of its own. When
// ctx ends, the command and what it started in its process group die.
func (h *Host) Command(ctx context.Context, argv ...string) *exec.Cmd {
	pid := fmt.Sprint(h.PID())
	args := append([]string{"-c", enter, "enter", h.group(), "nsenter", "--target", pid, "--all", "--root", "--wd", "--"}, argv...)
	cmd := exec.CommandContext(ctx, "/bin/sh", args...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=" + os.Getenv("TERM")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	return cmd
}

// enter joins the host's groups before it enters its namespaces, so that what
// it starts is counted as the host's. A v2 group that has children of its own
// takes no process; its init.scope does.
const enter = `group=$1; shift
for dir in /sys/fs/cgroup/"$group" /sys/fs/cgroup/*/"$group"; do
	[ -d "$dir/init.scope" ] && dir=$dir/init.scope
	[ -d "$dir" ] && echo $$ > "$dir/cgroup.procs"
done
exec "$@"`
