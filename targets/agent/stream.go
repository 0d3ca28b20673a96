package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"

	"dray/pipeline/event"
	"dray/targets/api"
)

// mostQueued bounds the lines that wait for a slow reader. Past it, progress
// and output are dropped; the other events are few.
const mostQueued = 4096

// lines is the answer of one call on its way to the client. What the call does
// never waits for the client: a reader that is slow or gone only loses lines.
type lines struct {
	mu    sync.Mutex
	queue []api.StreamLine
	more  chan struct{} // holds a token when queue is not empty
}

func newLines() *lines { return &lines{more: make(chan struct{}, 1)} }

// Emit implements event.Sink.
func (l *lines) Emit(e event.Event) { l.add(api.StreamLine{Event: &e}) }

func (l *lines) add(line api.StreamLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= mostQueued && line.Event != nil &&
		(line.Event.Type == event.Progress || line.Event.Type == event.Output) {
		return
	}
	l.queue = append(l.queue, line)
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// finish ends the answer.
func (l *lines) finish(result any, err error) {
	var line api.StreamLine
	if err == nil {
		line.Result, err = json.Marshal(result)
	}
	if err != nil {
		line = api.StreamLine{Error: wireError(err)}
	}
	l.add(line)
}

// next waits for lines; nil when ctx has ended.
func (l *lines) next(ctx context.Context) []api.StreamLine {
	for {
		select {
		case <-l.more:
		case <-ctx.Done():
			return nil
		}
		l.mu.Lock()
		batch := l.queue
		l.queue = nil
		l.mu.Unlock()
		if len(batch) > 0 { // a line that came with its token may have gone with the one before
			return batch
		}
	}
}

// streamed answers with the events and the result of an operation. The
// operation runs on the agent's own context: when the client goes away it
// works on, and is cancelled when the client's lease ends. Whoever repeats the
// call waits for it and gets the same end. Where the agent ends before the
// operation has, there is no answer: what came of it, the next agent knows.
func (a *Agent) streamed(w http.ResponseWriter, r *http.Request, op func(ctx context.Context, sink event.Sink) (any, error)) {
	answer := newLines()
	serving, cut := context.WithCancel(r.Context())
	defer cut()
	started := a.start(serving, func(ctx context.Context) {
		result, err := op(ctx, event.With(answer, func(*event.Event) {}))
		if err != nil && ctx.Err() != nil {
			cut()
			return
		}
		answer.finish(result, err)
	})
	if !started {
		return
	}
	w.Header().Set("Content-Type", api.ContentStream)
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush() // a client that is gone is seen by Encode
	encoder := json.NewEncoder(w)
	for {
		for _, line := range answer.next(serving) {
			if encoder.Encode(line) != nil || line.Event == nil {
				return
			}
		}
		if flush.Flush() != nil || serving.Err() != nil {
			return
		}
	}
}
