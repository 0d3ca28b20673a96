package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
	"dray/pipeline/phrase"
	"dray/targets/store/pipe"
)

// attempts is how often one source is asked again after it delivered nothing.
const attempts = 3

// download brings a blob into content, from where an earlier download ended,
// and from one source after the other. The caller has the blob's lock.
func (p *pull) download(ctx context.Context, desc ocispec.Descriptor, t *tee) error {
	what := "fetching layer " + phrase.Digest(desc.Digest.String())
	d := &download{pull: p, desc: desc, tee: t, ref: "pull-" + desc.Digest.String()}
	if err := d.open(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, p.store.asSpace(err))
	}
	defer func() { d.w.Close() }()
	if d.offset > 0 {
		t.breakOff()
		p.meter.add(d.offset)
	}
	err := p.each(ctx, what, func(src registry.Source) error {
		if err := d.from(ctx, src); err != nil {
			return err
		}
		return d.commit(ctx, src)
	})
	if err != nil {
		p.meter.add(-d.offset)
	}
	return err
}

// download is one blob that is under way.
type download struct {
	pull    *pull
	desc    ocispec.Descriptor
	tee     *tee
	ref     string
	w       content.Writer
	offset  int64             // bytes that w has
	mixed   bool              // they came from an earlier pull, or from several sources
	origins []registry.Source // whom they came from in this pull
}

func (d *download) open(ctx context.Context) (err error) {
	d.w, err = d.pull.store.content.Writer(ctx, content.WithRef(d.ref), content.WithDescriptor(d.desc))
	if err != nil {
		return fmt.Errorf("opening a writer: %w", err)
	}
	st, err := d.w.Status()
	if err != nil {
		return fmt.Errorf("reading what there is: %w", err)
	}
	d.offset, d.mixed = st.Offset, st.Offset > 0
	if d.offset > d.desc.Size {
		return d.restart(ctx)
	}
	return nil
}

// restart throws away what there is.
func (d *download) restart(ctx context.Context) error {
	d.tee.breakOff()
	if err := d.w.Truncate(0); err != nil {
		return fmt.Errorf("beginning anew: %w", err)
	}
	d.offset, d.mixed, d.origins = 0, false, nil
	return nil
}

// from reads the rest of the blob from one source. A source that has begun to
// deliver and fails is asked for the rest at once; one that delivers nothing
// gets a few attempts with growing pauses.
func (d *download) from(ctx context.Context, src registry.Source) error {
	for failed := 0; ; {
		before := d.offset
		err := d.read(ctx, src)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if d.offset > before {
			failed = 0
		}
		failed++
		if failed >= attempts || !temporary(err) {
			return err
		}
		if err := pause(ctx, time.Duration(failed-1)*300*time.Millisecond); err != nil {
			return err
		}
	}
}

func temporary(err error) bool {
	return !errdefs.IsNotFound(err) && !errdefs.IsUnauthorized(err) && !errdefs.IsPermissionDenied(err) &&
		!errors.Is(err, registry.ErrUnreachable) && !errors.Is(err, ErrSpace) && !errors.Is(err, errWrite)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errWrite marks a failure of this host's own disk.
var errWrite = errors.New("writing to the disk failed")

func (d *download) read(ctx context.Context, src registry.Source) error {
	left := d.desc.Size - d.offset
	if left == 0 {
		return nil
	}
	r, err := src.Fetch(ctx, d.desc, d.offset)
	if err != nil {
		return err
	}
	defer r.Close()
	d.note(src)
	buf := pipe.Chunks.Get().(*[]byte)
	defer pipe.Chunks.Put(buf)
	b := (*buf)[:pipe.ChunkSize]
	for left > 0 {
		n, err := r.Read(b[:min(int64(len(b)), left)])
		if n > 0 {
			if _, werr := d.w.Write(b[:n]); werr != nil {
				return fmt.Errorf("%w: %w", errWrite, d.pull.store.asSpace(werr))
			}
			d.tee.write(b[:n])
			d.offset += int64(n)
			left -= int64(n)
			d.pull.meter.add(int64(n))
		}
		if err != nil && left > 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("after %d of %d bytes: %w", d.offset, d.desc.Size, err)
		}
	}
	return nil
}

func (d *download) note(src registry.Source) {
	for _, o := range d.origins {
		if o == src {
			return
		}
	}
	d.origins = append(d.origins, src)
	d.mixed = d.mixed || len(d.origins) > 1
}

// commit verifies the digest. When it is wrong and the bytes had more than one
// origin, the same source is asked for all of it; when they all came from one
// source, that source is not asked again in this pull.
func (d *download) commit(ctx context.Context, src registry.Source) error {
	err := d.w.Commit(ctx, d.desc.Size, d.desc.Digest)
	if err == nil || errdefs.IsAlreadyExists(err) {
		return nil
	}
	if !errdefs.IsFailedPrecondition(err) {
		return fmt.Errorf("%w: %w", errWrite, d.pull.store.asSpace(err))
	}
	d.pull.meter.add(-d.offset)
	mixed := d.mixed
	d.tee.breakOff()
	if err := d.pull.store.content.Abort(ctx, d.ref); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	d.offset, d.mixed, d.origins = 0, false, nil
	if err := d.open(ctx); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	if !mixed {
		d.pull.fails(src)
		return fmt.Errorf("it sent something else: %w", errContent)
	}
	if err := d.from(ctx, src); err != nil {
		return err
	}
	return d.commit(ctx, src)
}
