package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dray/targets/api"
)

// ownTime is how long the client watches a host that goes back by itself.
const ownTime = time.Minute

// revertHosts has every host go back.
func (d *deployment) revertHosts(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	return d.each(ctx, func(ctx context.Context, h *Host) error {
		request := api.Revert{Fence: d.lease.fences[h.Name], Reason: firstLine(cause)}
		err := d.retry(ctx, h, func(ctx context.Context) error {
			_, err := d.on(h).Revert(ctx, d.id, request, d.hostSink(h.Name))
			return err
		})
		switch {
		case isCode(err, api.CodeNotFound):
			return nil // the host had not begun
		case isCode(err, api.CodeFenced):
			return d.wentBack(ctx, h)
		}
		return err
	})
}

// wentBack waits until a host on which the lease has ended has gone back: it
// does so by itself then.
func (d *deployment) wentBack(ctx context.Context, h *Host) error {
	ctx, cancel := context.WithTimeout(ctx, ownTime)
	defer cancel()
	for {
		var env *api.Environment
		err := d.retry(ctx, h, func(ctx context.Context) (err error) {
			env, err = d.on(h).Get(ctx)
			return err
		})
		switch {
		case err != nil:
			return err
		case env.Deployed == d.id:
			return fmt.Errorf("release %s has been confirmed meanwhile", d.Release.ReleaseNumber())
		case env.Deployment == nil || env.Deployment.ID != d.id:
			return nil
		case env.Deployment.Voted:
			return fmt.Errorf("release %s waits to be confirmed or taken back", d.Release.ReleaseNumber())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("going back by itself has not ended within %s", ownTime)
		case <-h.Done:
			return errors.New("the connection was lost while it went back by itself")
		case <-time.After(leasePause):
		}
	}
}
