package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dray/targets/api"
)

// insistTime is how long a host is asked again for a confirmation that all
// have voted for, and confirmPause how long the client waits in between.
const (
	insistTime   = 30 * time.Second
	confirmPause = 100 * time.Millisecond
)

// confirm makes the release the current one, everywhere or nowhere: first all
// hosts vote, and a single no brings all of them back, or has them hold it. Once all have voted yes
// none of them goes back by itself. From then on there is one way only; what a
// host could not be told is finished by the next command. A single host needs
// no vote.
func (d *deployment) confirm(ctx context.Context, verified []api.VerifyResult) error {
	if ctx.Err() != nil {
		return d.goBack(ctx, context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	request := api.Confirm{Verified: verified, Approval: d.Approval, Skipped: d.Skipped}
	alone := len(d.hosts) == 1
	if !alone {
		request.Vote = true
		if err := d.each(ctx, func(ctx context.Context, h *Host) error { return d.confirmOn(ctx, h, request) }); err != nil {
			return d.fail(ctx, fmt.Errorf("agreeing on release %d: %w", d.Release.Number, err), unhealthy(err))
		}
		request.Vote = false
	}
	insisting, cancel := context.WithTimeout(ctx, insistTime)
	defer cancel()
	err := d.each(insisting, func(ctx context.Context, h *Host) error { return d.confirmOn(ctx, h, request) })
	if err == nil {
		return nil
	}
	var refused *api.Error
	if alone && errors.As(err, &refused) {
		return d.fail(ctx, err, unhealthy(err))
	}
	e := newError(InDoubt, nil)
	e.Stuck = failedHosts(err)
	e.Cause = fmt.Errorf("confirming release %d on %s: %w", d.Release.Number, strings.Join(e.Stuck, ", "), err)
	return e
}

func (d *deployment) confirmOn(ctx context.Context, h *Host, request api.Confirm) error {
	request.Fence = d.lease.fences[h.Name]
	return insist(ctx, h, func() error {
		_, err := d.on(h).Confirm(ctx, d.id, request)
		return err
	})
}

// insist asks one host until it answers. What is asked must do no harm when it
// is repeated; an agent that was restarted is back soon.
func insist(ctx context.Context, h *Host, ask func() error) error {
	for {
		err := ask()
		var refused *api.Error
		if err == nil || errors.As(err, &refused) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-h.Done:
			return err
		case <-time.After(confirmPause):
		}
	}
}
