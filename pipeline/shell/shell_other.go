//go:build !windows

package shell

import "os/exec"

// setCommandLine does nothing: only Windows takes arguments as one text.
func setCommandLine(*exec.Cmd, string) {}
