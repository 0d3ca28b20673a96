package logs_test

import (
	"bytes"
	"testing"

	"github.com/moby/moby/api/pkg/stdcopy"

	"dray/targets/logs"
)

// TestFrames writes frames as dray does and reads them as Docker's clients do.
func TestFrames(t *testing.T) {
	var wire, out, err bytes.Buffer
	for _, x := range []struct {
		stream logs.Stream
		text   string
	}{{logs.Stdout, "one\n"}, {logs.Stderr, "two\n"}, {logs.Stdout, ""}, {logs.Stdout, string(make([]byte, 70000))}} {
		frame := bytes.Repeat([]byte{0xff}, logs.FrameHeader)
		logs.PutFrameHeader(frame, x.stream, len(x.text))
		wire.Write(append(frame, x.text...))
	}
	if _, copyErr := stdcopy.StdCopy(&out, &err, &wire); copyErr != nil {
		t.Fatal(copyErr)
	}
	if out.String() != "one\n"+string(make([]byte, 70000)) || err.String() != "two\n" {
		t.Errorf("read %d and %q", out.Len(), err.String())
	}
}
