package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"dray/pipeline/durable"
	"dray/targets/runtime/confine"
)

// initPath is where a container with Init finds its pid 1, and the name by which
// dray-oci knows that it is one. /dev is the container's own file system, so no
// trace of it comes into the writable layer.
const initPath = "/dev/dray-init"

// initName is the file on the host, in the engine's folder.
const initName = "dray-init"

// An initFile is a copy of dray-oci that containers are given as their pid 1. No
// container ever has the host's own: whoever gets past a read-only mount writes
// to what other containers run, and not to what the host runs as root.
type initFile struct {
	mu   sync.Mutex
	made bool // by this engine, so it is of the dray-oci that there is
}

func (f *initFile) ensure(from, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made {
		return nil
	}
	program, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("reading dray-oci: %w", err)
	}
	have, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the containers' pid 1: %w", err)
	}
	if !bytes.Equal(have, program) {
		if err := durable.Write(path, program, 0o755); err != nil {
			return fmt.Errorf("making the containers' pid 1: %w", err)
		}
	}
	f.made = true
	return nil
}

// bindInit gives a container its pid 1.
func (e *Engine) bindInit(b *blueprint) error {
	path := filepath.Join(e.Root, initName)
	if err := e.pid1.ensure(e.OCI, path); err != nil {
		return err
	}
	if err := confine.RelabelOnce(path, b.confined.labels.Mount); err != nil {
		return err
	}
	b.binds = append(b.binds, Mount{Source: path, Destination: initPath, ReadOnly: true})
	return nil
}
