package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"dray/targets/api"
)

// confirm makes the release the current one, everywhere or nowhere: first all
// hosts vote, and a single no brings all of them back, or has them hold it. Once
// all have voted yes none of them goes back by itself. From then on there is one
// way only; what a host could not be told is finished by the next command. A
// single host needs no vote.
func (d *deployment) confirm(ctx context.Context, verified []api.VerifyResult) error {
	if ctx.Err() != nil {
		return d.revert(ctx, context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	request := api.Confirm{Verified: verified, Approval: d.Approval, Skipped: d.Skipped}
	alone := len(d.hosts) == 1
	if !alone {
		request.Vote = true
		if err := d.each(ctx, func(ctx context.Context, h *Host) error { return d.confirmOn(ctx, h, request) }); err != nil {
			return d.fail(ctx, fmt.Errorf("agreeing on release %s: %w", d.Release.ReleaseNumber(), err), unhealthy(err))
		}
		request.Vote = false
	}
	d.confirming.Store(true)
	err := d.each(ctx, func(ctx context.Context, h *Host) error { return d.confirmOn(ctx, h, request) })
	if err == nil {
		return nil
	}
	var refused *api.Error
	if alone && errors.As(err, &refused) {
		return d.fail(ctx, err, unhealthy(err))
	}
	e := newError(InDoubt, nil)
	e.Stuck = FailedHosts(err)
	e.Cause = fmt.Errorf("confirming release %s on %s: %w", d.Release.ReleaseNumber(), strings.Join(e.Stuck, ", "), err)
	return e
}

func (d *deployment) confirmOn(ctx context.Context, h *Host, request api.Confirm) error {
	request.Fence = d.lease.fences[h.Name]
	return d.retry(ctx, h, func(ctx context.Context) error {
		_, err := d.on(h).Confirm(ctx, d.id, request)
		return err
	})
}
