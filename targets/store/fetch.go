package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"dray/builder/registry"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/targets/store/pipe"
	"dray/targets/store/unpack"
)

// tried remembers failing sources: those that sent something else than they
// were asked for, or let nobody in.
type tried struct {
	mu      sync.Mutex
	failing map[registry.Source]bool
}

func (t *tried) fails(src registry.Source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failing[src] = true
}

// refuses remembers a source that lets nobody in: another one remains, and each
// further layer would wait for nothing.
func (t *tried) refuses(src registry.Source, err error) {
	if errors.Is(err, registry.ErrUnreachable) || errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err) {
		t.fails(src)
	}
}

func (t *tried) healthy(all []registry.Source) []registry.Source {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []registry.Source
	for _, src := range all {
		if !t.failing[src] {
			list = append(list, src)
		}
	}
	return list
}

// each asks the sources in turn until one has delivered.
func (p *pull) each(ctx context.Context, what string, ask func(registry.Source) error) error {
	var errs []error
	sources := p.healthy(p.req.Sources)
	for i, src := range sources {
		err := ask(src)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		if errors.Is(err, errWrite) {
			return fmt.Errorf("%s: %w", what, err)
		}
		if local := p.store.asSpace(err); errors.Is(local, ErrSpace) {
			return local
		}
		errs = append(errs, fmt.Errorf("from %s: %w", src, err))
		if i+1 < len(sources) {
			p.refuses(src, err)
			p.meter.emit(event.Event{Type: event.Warning, Text: fmt.Sprintf("%s from %s failed, trying %s: %v", what, src, sources[i+1], err)})
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("%s: there is nowhere (left) to get it from: %w", what, errdefs.ErrNotFound)
	}
	return fmt.Errorf("%s: %w", what, errors.Join(errs...))
}

// document gives a manifest or a config: what is here, or what a source has.
// What is here is verified too, and fetched again when the disk has lost it.
func (p *pull) document(ctx context.Context, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	s := p.store
	if info, err := s.content.Info(ctx, desc.Digest); err == nil {
		have := desc
		have.Size = info.Size
		b, err := registry.ReadAll(ctx, s.Source(), have, limit)
		if err == nil {
			return b, nil
		}
		s.log.Warn("content on the disk is damaged; it is fetched again", "digest", desc.Digest, "error", err)
		if err := s.content.Delete(ctx, desc.Digest); err != nil && !errdefs.IsNotFound(err) {
			return nil, fmt.Errorf("removing damaged content: %w", err)
		}
	}
	var b []byte
	err := p.each(ctx, "reading "+phrase.Digest(desc.Digest.String()), func(src registry.Source) (err error) {
		b, err = registry.ReadAll(ctx, src, desc, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	desc.Size = int64(len(b))
	err = content.WriteBlob(ctx, s.content, "pull-"+desc.Digest.String(), bytes.NewReader(b), desc)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, fmt.Errorf("writing %s: %w", desc.Digest, s.asSpace(err))
	}
	return b, nil
}

// layer fetches a layer, unless it is here, and unpacks it, if the snapshotter
// can do so before the layers below are there.
func (p *pull) layer(ctx context.Context, l Layer) (unpacked, error) {
	unlock, err := p.store.blobs.lock(ctx, l.Digest, nil)
	if err != nil {
		return unpacked{}, err
	}
	defer unlock()
	began := time.Now()
	u, err := p.fetchAndUnpack(ctx, l)
	if errdefs.IsNotFound(err) && len(l.URLs) > 0 {
		err = fmt.Errorf("layer %s is a foreign one, which is kept at %s and not with the image; it is not fetched from there: push the image with all of its layers: %w", phrase.Digest(l.Digest.String()), l.URLs[0], err)
	}
	if err == nil {
		p.meter.emit(event.Event{Type: event.StepFinished, Subject: phrase.Digest(l.Digest.String()), Text: "layer " + phrase.Size(l.Size), Took: time.Since(began).Seconds()})
	}
	return u, err
}

func (p *pull) fetchAndUnpack(ctx context.Context, l Layer) (unpacked, error) {
	s := p.store
	if _, err := s.content.Info(ctx, l.Digest); err == nil {
		if !s.parallel {
			return unpacked{}, nil
		}
		u, err := p.unpackStored(ctx, l, "")
		if err == nil || errors.Is(err, ErrSpace) || errors.Is(err, unpack.ErrTooLarge) || ctx.Err() != nil {
			return u, err
		}
		// The disk may have lost what was verified when it was written.
		if verr := p.verifyStored(ctx, l.Descriptor); verr == nil {
			return u, err
		}
		s.log.Warn("a layer on the disk is damaged; it is fetched again", "digest", l.Digest, "error", err)
		if err := s.content.Delete(ctx, l.Digest); err != nil && !errdefs.IsNotFound(err) {
			return u, fmt.Errorf("removing damaged content: %w", err)
		}
		p.meter.total.Add(l.Size)
	}
	if !s.parallel {
		return unpacked{}, p.download(ctx, l.Descriptor, nil)
	}
	return p.stream(ctx, l)
}

func (p *pull) verifyStored(ctx context.Context, desc ocispec.Descriptor) error {
	ra, err := p.store.content.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	defer ra.Close()
	v := desc.Digest.Verifier()
	if _, err := io.Copy(v, content.NewReader(ra)); err != nil {
		return err
	}
	if !v.Verified() {
		return errContent
	}
	return nil
}

// stream unpacks a layer while it arrives. Where that is not possible (the
// download was resumed, or began anew with another source) it unpacks the
// layer once it is here.
func (p *pull) stream(ctx context.Context, l Layer) (unpacked, error) {
	t := &tee{pipe: pipe.New()}
	var u unpacked
	var unpacking errgroup.Group
	uctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	unpacking.Go(func() (err error) {
		defer t.pipe.QuitReading()
		u, err = p.store.unpack(uctx, l, "", t.pipe, p.work)
		return err
	})
	err := p.download(ctx, l.Descriptor, t)
	if err != nil || t.broken {
		t.broken = true
		stop(errBroken)
		t.pipe.End(errBroken)
	} else {
		t.pipe.End(nil)
	}
	unpackErr := unpacking.Wait()
	if (err != nil || t.broken) && unpackErr == nil {
		u.share.GiveBack()
		if derr := p.store.discard(ctx, u.key); derr != nil {
			return unpacked{}, errors.Join(err, derr)
		}
	}
	switch {
	case err != nil:
		return unpacked{}, err
	case t.broken:
		return p.unpackStored(ctx, l, "")
	case unpackErr != nil:
		return unpacked{}, unpackErr
	}
	return u, nil
}

var errBroken = errors.New("the download did not come in one piece")

// tee takes a download's bytes, from the first to the last, or is broken.
type tee struct {
	pipe   *pipe.Pipe
	broken bool // bytes are missing from it, or are not the layer's
	gone   bool // the reader has left
}

func (t *tee) write(b []byte) {
	if t == nil || t.broken || t.gone {
		return
	}
	if _, err := t.pipe.Write(b); err != nil {
		t.gone = true // the reader's own result says why
	}
}

func (t *tee) breakOff() {
	if t != nil {
		t.broken = true
	}
}
