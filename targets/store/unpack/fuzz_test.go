package unpack

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
)

// FuzzInflate: no stream hangs, overruns its limit, or gives a digest that is
// not that of what came out.
func FuzzInflate(f *testing.F) {
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write(bytes.Repeat([]byte("dray"), 1000)); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(gz.Bytes(), true)
	f.Add(gz.Bytes()[:20], true)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0}, true)
	f.Add([]byte("plain"), false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, b []byte, whole bool) {
		const limit = 1 << 20
		var out bytes.Buffer
		d, err := inflate(context.Background(), bytes.NewReader(b), limit, &Share{of: &budget{left: Amount{Stream: limit}}}, func(_ context.Context, r io.Reader) error {
			if !whole {
				return nil
			}
			_, err := io.Copy(&out, r)
			return err
		})
		if out.Len() > limit {
			t.Fatalf("%d bytes came out", out.Len())
		}
		if err == nil && whole && d != digest.FromBytes(out.Bytes()) {
			t.Errorf("digest %s is not that of what came out", d)
		}
	})
}
