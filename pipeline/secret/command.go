package secret

import (
	"context"
	"os/exec"
	"strings"
	"time"

	"dray/pipeline/shell"
)

// shellCommand makes a command of a line as the user would type it.
func shellCommand(ctx context.Context, line string) *exec.Cmd {
	cmd := shell.Command(ctx, "", line)
	cmd.WaitDelay = time.Second // a child of the shell may hold the pipes open
	return cmd
}

// tail keeps the last bytes that are written to it.
type tail struct{ kept []byte }

const tailSize = 2048

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailSize; over > 0 {
		t.kept = t.kept[over:]
	}
	return len(p), nil
}

// quoted returns ":" and what was kept, or "".
func (t *tail) quoted() string {
	if text := strings.TrimSpace(string(t.kept)); text != "" {
		return ": " + text
	}
	return ""
}
