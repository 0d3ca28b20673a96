package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// oci runs a verb of the OCI runtime and returns what it prints.
func (e *Engine) oci(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, e.OCI, append([]string{"--root", e.OCIRoot}, args...)...)
	var out, failure bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &failure
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	err := cmd.Run()
	switch {
	case err == nil:
		return out.Bytes(), nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case failure.Len() > 0:
		return nil, errors.New(cause(failure.String()))
	default:
		return nil, fmt.Errorf("running the OCI runtime: %w", err)
	}
}

// cause takes the message from the last line of a log in text form
// (time="…" level=error msg="…").
func cause(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	last := lines[len(lines)-1]
	_, quoted, found := strings.Cut(last, "msg=")
	var message string
	if found && json.Unmarshal([]byte(quoted), &message) == nil {
		return message
	}
	return last
}

// ociStates returns the status of each container that the OCI runtime knows.
func (e *Engine) ociStates(ctx context.Context) (map[string]string, error) {
	out, err := e.oci(ctx, nil, "list", "--format", "json")
	if err != nil {
		return nil, fmt.Errorf("listing the OCI runtime's containers: %w", err)
	}
	var all []struct{ ID, Status string }
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("listing the OCI runtime's containers: %w", err)
	}
	states := make(map[string]string, len(all))
	for _, s := range all {
		states[s.ID] = s.Status
	}
	return states, nil
}

// ociKnows says whether the OCI runtime has something of a container, be it
// left over.
func (e *Engine) ociKnows(id string) bool {
	_, err := os.Stat(filepath.Join(e.OCIRoot, id))
	return err == nil
}
