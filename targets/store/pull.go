package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"dray/builder/registry"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/targets/store/unpack"
)

// PullRequest says which image is wanted and where it may be.
type PullRequest struct {
	Digest   digest.Digest     // of an index or a manifest
	Name     string            // for people
	Platform ocispec.Platform  // of an index; zero is this host's
	Sources  []registry.Source // in the order in which they are tried
	Retain   string            // key under which the image is retained before GC may look at it; "" is none
}

// Pull brings an image onto this host and unpacks it. An image that is here
// already costs nothing; only missing layers are fetched; what an interrupted
// pull has fetched is not fetched again. Two pulls of one image do the work
// once. A source that fails or lies is left for the next one, with a Warning.
//
// Progress events count the bytes that travel. The error matches ErrSpace when
// the disk is too small. The image is safe from GC for Options.Grace; Retain
// or Mount keep it longer.
func (s *Store) Pull(ctx context.Context, req PullRequest, sink event.Sink) (Image, error) {
	if err := req.Digest.Validate(); err != nil {
		return Image{}, fmt.Errorf("pulling %s: digest %q: %w", req.Name, req.Digest, err)
	}
	if req.Platform.OS == "" {
		req.Platform = platforms.Normalize(ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH})
	}
	if req.Name == "" {
		req.Name = req.Digest.String()
	}
	p := &pull{store: s, req: req, lease: s.pins.lease()}
	p.failing = map[registry.Source]bool{}
	p.meter = meter{sink: sink, name: req.Name, digest: req.Digest}
	defer p.lease.release()
	p.lease.add(req.Digest.String())
	unlock, err := s.images.lock(ctx, req.Digest, func() {
		p.meter.emit(event.Event{Type: event.Notice, Text: "waiting for another pull of " + req.Name})
	})
	if err != nil {
		return Image{}, fmt.Errorf("pulling %s: %w", req.Name, err)
	}
	defer unlock()
	img, err := p.run(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("pulling %s (%s): %w", req.Name, phrase.Digest(req.Digest.String()), err)
	}
	if req.Retain != "" {
		return img, s.Retain(ctx, req.Retain, []digest.Digest{req.Digest})
	}
	return img, nil
}

// pull is one pull that is under way.
type pull struct {
	store *Store
	req   PullRequest
	lease *lease
	meter meter
	work  *unpack.Session // its unpacking
	tried
}

func (p *pull) run(ctx context.Context) (Image, error) {
	s := p.store
	img, err := s.index.image(p.req.Digest)
	if err != nil && !errdefs.IsNotFound(err) {
		return img, err
	}
	if err == nil {
		p.pin(img)
		whole, err := s.whole(ctx, img)
		if err != nil {
			return img, err
		}
		if whole && platforms.Only(p.req.Platform).Match(img.Config.Platform) {
			img.Pulled, img.Name = time.Now().UTC(), p.req.Name
			p.meter.emit(event.Event{Type: event.StepFinished, Subject: p.req.Name, Text: "image is here", Cached: true})
			return img, s.index.put(bucketImages, img.Digest.String(), img)
		}
	}
	if img, err = p.resolve(ctx); err != nil {
		return img, err
	}
	p.pin(img)
	if err := p.layers(ctx, &img); err != nil {
		return img, s.asSpace(err)
	}
	img.Pulled = time.Now().UTC()
	if err := s.index.put(bucketImages, img.Digest.String(), img); err != nil {
		return img, fmt.Errorf("recording the image: %w", s.asSpace(err))
	}
	if s.opts.DropLayers {
		return img, s.dropLayers(ctx, img)
	}
	return img, nil
}

// pin keeps the garbage collector off everything that the image consists of.
func (p *pull) pin(img Image) {
	for _, d := range img.content() {
		p.lease.add(d.String())
	}
	for _, l := range img.Layers {
		p.lease.add(l.ChainID.String())
	}
}

// layers brings the missing layers of an image here, and commits them.
func (p *pull) layers(ctx context.Context, img *Image) error {
	s := p.store
	var locked []func()
	defer func() {
		for _, unlock := range locked {
			unlock()
		}
	}()
	var missing []int
	for i, l := range img.Layers {
		unlock, err := s.chains.lock(ctx, l.ChainID, func() {
			p.meter.emit(event.Event{Type: event.Notice, Text: "waiting for another pull that has the same layers"})
		})
		if err != nil {
			return err
		}
		locked = append(locked, unlock)
		_, err = s.snap.Stat(ctx, l.ChainID.String())
		switch {
		case errdefs.IsNotFound(err):
			missing = append(missing, i)
		case err != nil:
			return fmt.Errorf("looking for layer %s: %w", l.Digest, err)
		default:
			p.meter.emit(event.Event{Type: event.StepFinished, Subject: phrase.Digest(l.Digest.String()), Text: "layer is here", Cached: true})
		}
	}
	if err := p.prepareSpace(ctx, img, missing); err != nil {
		return err
	}
	if err := p.bring(ctx, img, missing); err != nil {
		return err
	}
	return s.measure(ctx, img)
}

// prepareSpace counts what is to travel and refuses a disk that is too small.
func (p *pull) prepareSpace(ctx context.Context, img *Image, missing []int) error {
	var space, travel int64
	counted := map[digest.Digest]bool{}
	for _, i := range missing {
		l := img.Layers[i]
		space = sum(space, need(l.Descriptor)-l.Size)
		if _, err := p.store.content.Info(ctx, l.Digest); err == nil || counted[l.Digest] {
			continue
		}
		counted[l.Digest] = true
		travel, space = sum(travel, l.Size), sum(space, l.Size)
	}
	p.meter.total.Store(travel)
	err := p.store.checkSpace(space)
	if errors.Is(err, ErrSpace) { // what is kept only to go on from gives way
		if _, gcErr := p.store.GC(ctx, true); gcErr != nil {
			return errors.Join(err, gcErr)
		}
		err = p.store.checkSpace(space)
	}
	return err
}

// bring fetches and unpacks the missing layers, then commits them in order.
func (p *pull) bring(ctx context.Context, img *Image, missing []int) (err error) {
	s := p.store
	if p.work, err = s.session(); err != nil {
		return err
	}
	defer p.work.Close()
	done := make([]unpacked, len(img.Layers))
	defer func() {
		if err == nil {
			return
		}
		for _, u := range done {
			if u.key != "" {
				err = errors.Join(err, s.discard(ctx, u.key))
			}
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.opts.Parallel)
	for _, i := range missing {
		g.Go(func() (err error) {
			done[i], err = p.layer(gctx, img.Layers[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	p.meter.report(true)
	return p.commit(ctx, img, missing, done)
}

// commit completes what was unpacked, syncs it, and then records it, lowest
// first.
func (p *pull) commit(ctx context.Context, img *Image, missing []int, done []unpacked) error {
	s := p.store
	if len(missing) == 0 {
		return nil
	}
	if !s.parallel {
		return p.commitCopies(ctx, img, missing, done)
	}
	if err := s.inheritAll(ctx, img, done); err != nil {
		return err
	}
	if err := syncFilesystem(s.dir); err != nil {
		return fmt.Errorf("syncing unpacked layers: %w", err)
	}
	for _, i := range missing {
		if err := s.commit(ctx, img, i, &done[i]); err != nil {
			return err
		}
	}
	return nil
}

// commitCopies is commit for a snapshotter whose layers begin as a copy of the
// one below, which has to be there first: they are unpacked only now.
func (p *pull) commitCopies(ctx context.Context, img *Image, missing []int, done []unpacked) (err error) {
	s := p.store
	for _, i := range missing {
		if done[i], err = p.unpackStored(ctx, img.Layers[i], img.below(i)); err != nil {
			return err
		}
		if err := syncFilesystem(s.dir); err != nil {
			return fmt.Errorf("syncing unpacked layers: %w", err)
		}
		if err := s.commit(ctx, img, i, &done[i]); err != nil {
			return err
		}
	}
	return nil
}

// measure adds up what the layers take on the disk.
func (s *Store) measure(ctx context.Context, img *Image) error {
	img.Unpacked = 0
	for _, l := range img.Layers {
		u, err := s.snap.Usage(ctx, l.ChainID.String())
		if err != nil {
			return fmt.Errorf("measuring layer %s: %w", l.Digest, err)
		}
		img.Unpacked += u.Size
	}
	return nil
}

// dropLayers removes compressed layers whose snapshots exist.
func (s *Store) dropLayers(ctx context.Context, img Image) error {
	for _, l := range img.Layers {
		if err := s.content.Delete(ctx, l.Digest); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("dropping layer %s: %w", l.Digest, err)
		}
	}
	return nil
}

// unpackStored unpacks a layer that is in content.
func (p *pull) unpackStored(ctx context.Context, l Layer, parent digest.Digest) (unpacked, error) {
	ra, err := p.store.content.ReaderAt(ctx, l.Descriptor)
	if err != nil {
		return unpacked{}, fmt.Errorf("opening layer %s: %w", l.Digest, err)
	}
	defer ra.Close()
	return p.store.unpack(ctx, l, parent, content.NewReader(ra), p.work)
}

// syncFilesystem writes everything to the disk that the file system of dir
// holds in memory.
func syncFilesystem(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
