package buildkit

import (
	"slices"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"dray/pipeline/event"
)

// TestProgressLines feeds output in the pieces in which it may arrive.
func TestProgressLines(t *testing.T) {
	for _, tc := range []struct {
		name   string
		pieces []string
		want   []string
	}{
		{"lines", []string{"a\nb\n"}, []string{"a", "b"}},
		{"in pieces", []string{"a", "b\nc", "\n"}, []string{"ab", "c"}},
		{"no end of line", []string{"a\nrest"}, []string{"a", "rest"}},
		{"overwritten", []string{"10%\r50%\r100%\n"}, []string{"100%"}},
		{"of Windows", []string{"a\r\nb\r\n"}, []string{"a", "b"}},
		{"empty", []string{"\n\n"}, []string{"", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			p := newProgress("app", "Dockerfile", func(s string) string { return s }, event.Func(func(e event.Event) {
				if e.Type == event.Output {
					got = append(got, e.Text)
				}
			}))
			id := digest.FromString("step")
			p.update(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: id, Name: "[1/1] RUN x"}}})
			for _, piece := range tc.pieces {
				p.update(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: id, Stream: 1, Data: []byte(piece)}}})
			}
			now := time.Now()
			p.update(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: id, Name: "[1/1] RUN x", Started: &now, Completed: &now}}})
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if name, lines := p.ended(id); name != "[1/1] RUN x" || !slices.Equal(lines, tc.want) {
				t.Errorf("%s ended with %q", name, lines)
			}
		})
	}
}
