package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dray/pipeline/event"
	"dray/targets/api"
)

// retryTime is how long a host whose agent does not answer is asked again, and
// retryPause how long the client waits in between.
const (
	retryTime  = 30 * time.Second
	retryPause = 100 * time.Millisecond
)

// retry makes a call until the agent answers it, be it with a refusal: an
// agent that was killed or replaced is back soon and finds in its journal what
// it was at, and the calls of a deployment can all be repeated. It gives up
// when the host's connection is lost.
func (f *Fleet) retry(ctx context.Context, h *Host, call func(context.Context) error) error {
	return retry(ctx, h, f.hostSink(h.Name), call)
}

func retry(ctx context.Context, h *Host, sink event.Sink, call func(context.Context) error) error {
	deadline, told := time.Now().Add(retryTime), false
	for {
		began := time.Now()
		err := call(ctx)
		if time.Since(began) > retryTime { // it worked on it that long: it was there
			deadline = time.Now().Add(retryTime)
		}
		var refused *api.Error
		if err == nil || errors.As(err, &refused) || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		if !told {
			told = true
			sink.Emit(event.Event{Type: event.Notice, Text: fmt.Sprintf("the agent gave no answer (%v); asking again", err)})
		}
		select {
		case <-ctx.Done():
			return err
		case <-h.Done:
			return err
		case <-time.After(retryPause):
		}
	}
}
