package ui

import (
	"fmt"
	"io"
	"sync"

	"dray/pipeline/output"
)

// Prefixed writes lines to out, each behind a prefix, one writer at a time.
func Prefixed(mu *sync.Mutex, out io.Writer, prefix string) *output.Lines {
	return &output.Lines{Each: func(line []byte) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := fmt.Fprintf(out, "%s%s\n", prefix, line)
		return err
	}}
}
