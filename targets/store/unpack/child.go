package unpack

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/containerd/log"
	"github.com/moby/sys/userns"
	"github.com/opencontainers/go-digest"

	"dray/targets/store/pipe"
)

// Main is the child: it reads a request and a layer from in, unpacks it, and
// writes reports to out. What goes wrong with the layer is the last report; the
// error is that nobody could be told.
func Main(in io.Reader, out io.Writer) error {
	if os.Getenv(startedBy) == "" {
		return errors.New("this is started by the agent alone")
	}
	// Where a thread's rights are its own (see onAllThreads), this one works.
	runtime.LockOSThread()
	r := bufio.NewReaderSize(in, pipe.ChunkSize)
	line, err := r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	to := newReporter(out, req.Budget)
	d, err := work(r, req, to)
	return to.end(d, err)
}

const gcPercent = 800

func work(r io.Reader, req request, to *reporter) (digest.Digest, error) {
	// The applier asks this when it meets a device, and would then look for the
	// answer in the layer.
	_ = userns.RunningInUserNS()
	if err := log.SetLevel("error"); err != nil { // an entry may be worth a warning, and there may be a million
		return "", err
	}
	// The heap is small and lives shortly: collect seldom, but hard before the
	// limit is met.
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(req.Memory / 8 * 7)
	if err := confine(req.Dir, req.Memory); err != nil {
		return "", fmt.Errorf("confining the process that unpacks it: %w", err)
	}
	return apply(context.Background(), "/", r, req, to)
}
