package secret

import (
	"context"
	"os/exec"
	"time"

	"dray/pipeline/shell"
)

// shellCommand makes a command of a line as the user would type it.
func shellCommand(ctx context.Context, line string) *exec.Cmd {
	cmd := shell.Command(ctx, "", line)
	cmd.WaitDelay = time.Second // a child of the shell may hold the pipes open
	return cmd
}
