package environment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
)

const (
	// LookPause is the time between two looks at a host that answers.
	LookPause   = time.Second
	longestRest = 10 * time.Second // between two tries to reach one that does not
	answerTime  = 5 * time.Second  // for a host that is connected to answer within
)

// KeepLooking looks at a host again and again. Its connection stays open; one
// that is lost is made anew.
func (o *Opener) KeepLooking(ctx context.Context, env *pipeline.Environment, name string, each func(HostStatus)) {
	rest := LookPause
	for {
		v, answered := o.lookAgain(ctx, env, name)
		if ctx.Err() != nil {
			return
		}
		each(v)
		if rest = min(2*rest, longestRest); answered {
			rest = LookPause
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return
		}
	}
}

// lookAgain is LookAt for a host that may have gone away since the last look.
func (o *Opener) lookAgain(ctx context.Context, env *pipeline.Environment, name string) (v HostStatus, answered bool) {
	host, err := o.Connector.Connect(ctx, o.host(name), event.Discard)
	if err != nil {
		return o.StatusOf(env.Name, name, nil, err), false
	}
	limited, cancel := context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("it gave no answer within %s", answerTime))
	defer cancel()
	state, err := host.Client.Environment(o.Project.Name, env.Name).Get(limited)
	lost := limited.Err() != nil
	select {
	case <-host.Done:
		lost, err = true, errors.Join(err, errors.New("the connection was lost"))
	default:
	}
	if lost && ctx.Err() == nil && o.Forget != nil {
		o.Forget(host)
	}
	host.Client.CloseIdle()
	return o.StatusOf(env.Name, name, state, err), !lost
}
