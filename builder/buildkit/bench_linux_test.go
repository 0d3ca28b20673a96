package buildkit

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dray/pipeline/event"
)

// BenchmarkNoOp builds an image of a 30 MB layer and an 8 MB one again and
// again, connecting each time, as one dray build after the other does.
func BenchmarkNoOp(b *testing.B) {
	l := useLab(b)
	req := project(b, map[string]string{
		"Dockerfile": "FROM busybox\nCOPY big /\nCOPY app /\n",
		"big":        mixed(30 << 20),
	})
	app := mixed(8 << 20)
	for _, mode := range []string{"no-op", "one-line"} {
		b.Run(mode, func(b *testing.B) {
			if err := os.WriteFile(filepath.Join(req.Dir, "app"), []byte(app), 0o755); err != nil {
				b.Fatal(err)
			}
			l := *l
			l.t = b
			l.mustBuild(req)
			for i := 0; b.Loop(); i++ {
				if mode == "one-line" {
					b.StopTimer()
					if err := os.WriteFile(filepath.Join(req.Dir, "app"), []byte(app+fmt.Sprint(time.Now())), 0o755); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				c, err := Connect(b.Context(), l.options)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.Build(b.Context(), req, event.Discard); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
}

// mixed returns n bytes that compress to about half.
func mixed(n int) string {
	out := make([]byte, 0, n+64)
	for i := 0; len(out) < n; i++ {
		sum := sha256.Sum256([]byte(fmt.Sprint(i)))
		out = append(out, sum[:]...)
		out = append(out, fmt.Sprintf("%032d", i)...)
	}
	return string(out[:n])
}
