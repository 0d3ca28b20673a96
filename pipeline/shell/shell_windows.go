package shell

import (
	"os/exec"
	"syscall"
)

// setCommandLine gives a command its arguments as one text.
func setCommandLine(cmd *exec.Cmd, line string) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: line}
}
