//go:build bundled

package bundle

import (
	"io"
	"runtime"
	"testing"
)

// TestAskEmbedded is run by TestEmbedded.
func TestAskEmbedded(t *testing.T) {
	b, err := Find(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil || sum(text) != b.Archive || int64(len(text)) != b.Size {
		t.Fatalf("the archive is not the one that is named: %v", err)
	}
	t.Log("embedded bundle is whole")
}
