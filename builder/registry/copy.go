package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"dray/pipeline/event"
)

// CopyOptions say what of an image is copied.
type CopyOptions struct {
	Platforms []ocispec.Platform // of an index; nil is all
	Jobs      int                // blobs at once; 0 is 4
	Subject   string             // of the progress events; empty is the digest
}

// Copy takes the image or index with digest root from src into a content
// store. What the store has is not read again, a download that is cut goes on
// where it ended, and every digest is verified. Children come before parents, so a manifest that
// is there means that its content is.
//
// It gives the root's descriptor. The caller holds the store (Store.Hold).
func Copy(ctx context.Context, src Source, into content.Store, root digest.Digest, opts CopyOptions, sink event.Sink) (ocispec.Descriptor, error) {
	if opts.Jobs <= 0 {
		opts.Jobs = 4
	}
	if opts.Subject == "" {
		opts.Subject = root.String()
	}
	desc, err := src.Resolve(ctx, root)
	if err != nil {
		return desc, fmt.Errorf("finding image %s at %s: %w", root, src, err)
	}
	c := copier{src: src, into: into, opts: opts, sink: sink}
	if err := c.plan(ctx, desc, 0); err != nil {
		return desc, err
	}
	return desc, c.run(ctx)
}

type copier struct {
	src       Source
	into      content.Store
	opts      CopyOptions
	sink      event.Sink
	blobs     []ocispec.Descriptor
	manifests []blobBytes // parents first
	done      atomic.Int64
	total     int64
	lastEvent atomic.Int64
}

type blobBytes struct {
	desc  ocispec.Descriptor
	bytes []byte
}

// plan reads manifests and collects what is to be copied.
func (c *copier) plan(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	if !IsManifest(desc.MediaType) {
		c.blobs = append(c.blobs, desc)
		c.total += desc.Size
		return nil
	}
	if depth > maxDepth {
		return fmt.Errorf("copying %s: indexes within indexes, more than %d deep", desc.Digest, maxDepth)
	}
	b, err := ReadAll(ctx, c.src, desc, MaxManifest)
	if err != nil {
		return err
	}
	m, err := ParseManifest(b)
	if err != nil {
		return fmt.Errorf("copying %s: %w", desc.Digest, err)
	}
	c.manifests = append(c.manifests, blobBytes{desc, b})
	for _, child := range m.Children() {
		if IsIndex(m.MediaType) && !c.wanted(child) {
			continue
		}
		if err := c.plan(ctx, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) wanted(child ocispec.Descriptor) bool {
	if c.opts.Platforms == nil || child.Platform == nil {
		return true
	}
	return platforms.Any(c.opts.Platforms...).Match(*child.Platform)
}

func (c *copier) run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.opts.Jobs)
	seen := map[digest.Digest]bool{}
	for _, desc := range c.blobs {
		if seen[desc.Digest] {
			c.done.Add(desc.Size)
			continue
		}
		seen[desc.Digest] = true
		g.Go(func() error { return c.blob(gctx, desc) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i := len(c.manifests) - 1; i >= 0; i-- {
		if err := writeBlob(ctx, c.into, c.manifests[i].desc, c.manifests[i].bytes); err != nil {
			return err
		}
	}
	c.report(true)
	return nil
}

// blob copies one blob. The name under which it is written is its own: two
// processes that wrote to one file could change it after it was verified.
func (c *copier) blob(ctx context.Context, desc ocispec.Descriptor) (err error) {
	ref := "copy-" + desc.Digest.String() + "-" + rand.Text()
	w, err := c.into.Writer(ctx, content.WithRef(ref), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		c.done.Add(desc.Size)
		c.report(false)
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening a writer for %s: %w", desc.Digest, err)
	}
	defer func() {
		closed := w.Close()
		if err == nil {
			return
		}
		if aborted := c.into.Abort(context.WithoutCancel(ctx), ref); !errdefs.IsNotFound(aborted) {
			closed = errors.Join(closed, aborted)
		}
		err = errors.Join(fmt.Errorf("copying %s from %s: %w", desc.Digest, c.src, err), closed)
	}()
	if err := c.fill(ctx, w, desc); err != nil {
		return err
	}
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// fill reads a blob to its end; a source that fails after it has delivered
// something is asked for the rest.
func (c *copier) fill(ctx context.Context, w io.Writer, desc ocispec.Descriptor) error {
	for offset := int64(0); ; {
		r, err := c.src.Fetch(ctx, desc, offset)
		if err != nil {
			return err
		}
		counted := &counter{Reader: io.LimitReader(r, desc.Size-offset), add: func(n int) { c.done.Add(int64(n)); c.report(false) }}
		n, err := io.CopyBuffer(w, counted, make([]byte, 256<<10))
		r.Close() // what it gave is verified by its digest
		offset += n
		if offset == desc.Size || ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if n == 0 {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
	}
}

// report emits progress, at most ten times a second unless last.
func (c *copier) report(last bool) {
	now := time.Now().UnixMilli()
	before := c.lastEvent.Load()
	if !last && (now-before < 100 || !c.lastEvent.CompareAndSwap(before, now)) {
		return
	}
	c.sink.Emit(event.Event{
		Type: event.Progress, Subject: c.opts.Subject, Text: "copying " + c.opts.Subject,
		Done: c.done.Load(), Total: c.total, Unit: "bytes",
	})
}

// counter tells add of what is read.
type counter struct {
	io.Reader
	add func(int)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.add(n)
	return n, err
}
