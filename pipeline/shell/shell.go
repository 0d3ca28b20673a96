// Package shell runs a line as its author would type it: what stands in a file
// as a command (a secret's source, ssh's ProxyCommand, Match exec) goes to a
// shell unchanged, on every system.
package shell

import (
	"cmp"
	"context"
	"os/exec"
	"runtime"
)

// Command returns a command that has a shell run a line. On Windows that is
// always cmd; elsewhere it is program, sh by default.
func Command(ctx context.Context, program, line string) *exec.Cmd {
	if runtime.GOOS != "windows" {
		return exec.CommandContext(ctx, cmp.Or(program, "sh"), "-c", line) //nolint:gosec // a command is what this is for
	}
	cmd := exec.CommandContext(ctx, "cmd")
	setCommandLine(cmd, commandLine(line))
	return cmd
}

// commandLine is how cmd takes a line as it is: between the first and the last
// quote, and without AUTORUN commands. Go's own quoting of arguments puts
// backslashes before quotes, which cmd does not read. Source: cmd /?.
func commandLine(line string) string { return `cmd /d /s /c "` + line + `"` }
