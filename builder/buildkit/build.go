package buildkit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"dray/builder"
	"dray/pipeline/event"
)

// Build builds one target into the image store.
func (c *Client) Build(ctx context.Context, req builder.Request, sink event.Sink) (builder.Result, error) {
	src, err := openSource(req)
	if err != nil {
		return builder.Result{}, err
	}
	defer src.close()
	secrets := c.secretStore(req)
	bases := newBaseImages()
	progress := newProgress(req.Target.Name, src.dockerfile, secrets.given.String, sink)
	out := &outputStore{Store: c.images, moved: progress.exported}
	opt, err := c.solveOpt(req, src, secrets, out)
	opt.SourcePolicyProvider = bases.attachable()
	if err != nil {
		return builder.Result{}, err
	}
	resp, err := solve(ctx, c.conn, opt, progress)
	if err != nil {
		return builder.Result{}, secrets.blame(c.failure(ctx, req, src, progress, err))
	}
	if !bases.known() {
		sink.Emit(event.Event{Type: event.Warning, Stage: stage, Subject: req.Target.Name,
			Text: "this builder does not say which images a build started from, so they are not pinned", Next: "use a builder of BuildKit 0.27 or newer"})
	}
	desc, err := exported(resp)
	if err != nil {
		return builder.Result{}, fmt.Errorf("building %s: %w", req.Target.Name, err)
	}
	total, err := imageSize(ctx, c.images, desc)
	if err != nil {
		return builder.Result{}, fmt.Errorf("building %s: reading the image back: %w", req.Target.Name, err)
	}
	return builder.Result{
		Digest: desc.Digest.String(), MediaType: desc.MediaType, Size: desc.Size, Store: c.dir,
		Total: total, Written: out.written.Load(), Bases: bases.list(),
	}, nil
}

// solve runs the build and feeds its status to progress until both have ended.
func solve(ctx context.Context, conn *client.Client, opt client.SolveOpt, progress *progress) (*client.SolveResponse, error) {
	status := make(chan *client.SolveStatus)
	var resp *client.SolveResponse
	var group errgroup.Group
	group.Go(func() (err error) {
		resp, err = conn.Solve(ctx, nil, opt, status)
		return err
	})
	group.Go(func() error {
		for s := range status {
			progress.update(s)
		}
		return nil
	})
	return resp, group.Wait()
}

// exported reads the descriptor of the manifest or index that was written.
func exported(resp *client.SolveResponse) (ocispec.Descriptor, error) {
	text, ok := resp.ExporterResponse[exptypes.ExporterImageDescriptorKey]
	if !ok {
		return ocispec.Descriptor{}, errors.New("the builder did not say what it exported")
	}
	var desc ocispec.Descriptor
	data, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &desc)
	}
	if err == nil {
		err = desc.Digest.Validate()
	}
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("reading what the builder exported: %w", err)
	}
	return desc, nil
}
