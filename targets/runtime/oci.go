package runtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"dray/targets/runtime/shim"
)

// A tool is an OCI runtime and the folder in which it keeps its containers. Each
// has a folder of its own: none reads another one's state.
type tool struct{ path, root string }

// toolFor is the OCI runtime that a container of spec is made with.
func (e *Engine) toolFor(spec Spec) tool {
	path := spec.Security.Runtime
	if path == "" {
		return tool{e.OCI, e.OCIRoot}
	}
	sum := sha256.Sum256([]byte(path))
	return tool{path, e.OCIRoot + "-" + hex.EncodeToString(sum[:4])}
}

// toolOf is the OCI runtime that a container was made with, as its run folder
// tells. Of dray's own it is the one of this agent: an upgrade replaces it.
func (e *Engine) toolOf(id string) tool {
	var made shim.Config
	err := readJSON(filepath.Join(e.runDir(id), shim.ConfigName), &made)
	if err != nil || made.OCIRoot == e.OCIRoot || made.OCI == "" {
		return tool{e.OCI, e.OCIRoot}
	}
	return tool{made.OCI, made.OCIRoot}
}

// own says whether it is dray-oci.
func (e *Engine) own(t tool) bool { return t.root == e.OCIRoot }

// version is that of the specifications that it is given. Runtimes refuse what is
// newer than they are (crun 1.8 all but 1.0), and what others are asked for is in
// the oldest.
func (t tool) version(e *Engine) string {
	if e.own(t) {
		return specs.Version
	}
	return "1.0.2"
}

// oci runs a verb of an OCI runtime and returns what it prints.
func (e *Engine) oci(ctx context.Context, t tool, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, t.path, append([]string{"--root", t.root}, args...)...)
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

// ociStates returns the status of each container that dray-oci knows.
func (e *Engine) ociStates(ctx context.Context) (map[string]string, error) {
	out, err := e.oci(ctx, tool{e.OCI, e.OCIRoot}, nil, "list", "--format", "json")
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

// ociState returns the status of one container; "" where it is not known.
func (e *Engine) ociState(ctx context.Context, t tool, id string) string {
	var state struct{ Status string }
	out, err := e.oci(ctx, t, nil, "state", id)
	if err == nil {
		err = json.Unmarshal(out, &state)
	}
	if err != nil {
		e.Log.Warn("asking an OCI runtime for a container", "runtime", t.path, "container", id, "error", err)
	}
	return state.Status
}

// knows says whether an OCI runtime has something of a container, be it left
// over.
func (t tool) knows(id string) bool {
	_, err := os.Stat(filepath.Join(t.root, id))
	return err == nil
}
