package unpack

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"dray/targets/store/pipe"
)

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// taker takes amounts of what a layer may hold, or says what there is too much of.
type taker interface{ take(Amount) error }

// inflate gives use the tar in r, whose compression shows in its first bytes,
// and returns the tar's digest. Inflating and use go on at the same time. Both
// have ended when it returns. A tar of more than limit bytes, or than is left of
// the share's budget, is refused.
func inflate(ctx context.Context, r io.Reader, limit int64, of taker, use func(context.Context, io.Reader) error) (digest.Digest, error) {
	p := pipe.New()
	hash := digest.SHA256.Digester()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := decompress(&bounded{w: p, left: limit, share: of}, r)
		p.End(err)
		if errors.Is(err, io.ErrClosedPipe) {
			return nil // use says why it left
		}
		return err
	})
	g.Go(func() error {
		defer p.QuitReading()
		tar := io.TeeReader(p, hash.Hash())
		if err := use(ctx, tar); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, tar) // what follows the tar's end is part of its digest
		return err
	})
	if err := g.Wait(); err != nil {
		return "", err
	}
	return hash.Digest(), nil
}

func decompress(w io.Writer, r io.Reader) error {
	br := bufio.NewReaderSize(r, pipe.ChunkSize)
	head, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		zr, err := gzip.NewReader(br)
		if err != nil {
			return fmt.Errorf("inflating gzip: %w", err)
		}
		if _, err := io.Copy(w, zr); err != nil {
			return fmt.Errorf("inflating gzip: %w", err)
		}
		return nil
	case bytes.HasPrefix(head, zstdMagic):
		// The window bounds what a hostile frame makes us allocate; 128 MiB is
		// what zstd's own tool accepts by default.
		zr, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return fmt.Errorf("inflating zstd: %w", err)
		}
		defer zr.Close()
		if _, err := zr.WriteTo(w); err != nil {
			return fmt.Errorf("inflating zstd: %w", err)
		}
		return nil
	}
	_, err = br.WriteTo(w)
	return err
}

// bounded refuses to write more than left bytes.
type bounded struct {
	w     io.Writer
	left  int64
	share taker
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, ErrTooLarge
	}
	if err := b.share.take(Amount{Stream: int64(len(p))}); err != nil {
		return 0, err
	}
	return b.w.Write(p)
}
