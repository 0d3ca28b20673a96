package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dray/testenv/load"
)

// lostDeploys is over how many deployments lost requests are counted.
const lostDeploys = 10

// rest is how long a service is watched while nothing is done to it.
const rest = 5 * time.Second

// measureLost deploys one-line changes under two streams of 200 requests a
// second: one on kept connections, one that opens a connection each time.
func measureLost(ctx context.Context, b *Bench) ([]Result, error) {
	if err := b.ready(ctx, "one"); err != nil {
		return nil, err
	}
	kinds := []struct {
		name string
		keep bool
	}{{"keep-alive", true}, {"a connection each", false}}
	quiet := make([]load.Report, len(kinds))
	runs := make([]*load.Run, len(kinds))
	for i, k := range kinds {
		var err error
		if quiet[i], err = load.Do(ctx, b.stream(200, k.keep, rest)); err != nil {
			return nil, err
		}
	}
	for i, k := range kinds {
		var err error
		if runs[i], err = load.Start(ctx, b.stream(200, k.keep, 0)); err != nil {
			return nil, err
		}
	}
	var failed error
	for range lostDeploys {
		if _, _, failed = b.change(ctx, "one"); failed != nil {
			break
		}
	}
	var results []Result
	for i, k := range kinds {
		busy := runs[i].Stop()
		results = append(results, Result{
			Measure: fmt.Sprintf("requests lost at 200/s over %d deploys, %s", lostDeploys, k.name), Today: "script 77–89 each, Kamal 0", Aim: "0", Limit: 0.5,
			Unit: Count, Values: []float64{float64(busy.Failed)},
			Note: fmt.Sprintf("of %d; p99 %s while building and deploying here, %s at rest%s", busy.Sent,
				Seconds.text(seconds(busy.Percentile(99))), Seconds.text(seconds(quiet[i].Percentile(99))), reasons(busy)),
		})
	}
	return results, failed
}

func reasons(r load.Report) (text string) {
	for reason, n := range r.Errors {
		text += fmt.Sprintf("; %d × %s", n, reason)
	}
	return text
}

// stream asks environment one's host for its version.
func (b *Bench) stream(rate float64, keep bool, duration time.Duration) *load.HTTP {
	return &load.HTTP{URL: "http://" + b.addresses("one")[0] + "/version", Rate: rate, KeepAlive: keep, Duration: duration, Timeout: 5 * time.Second}
}

// measureLatency compares the slowest hundredth of answers while a release is
// switched with that at rest. Rollbacks switch: nothing is built or sent on
// this machine meanwhile, so what slows the service is the switch itself.
func measureLatency(ctx context.Context, b *Bench) ([]Result, error) {
	if err := b.twoReleases(ctx, "one"); err != nil {
		return nil, err
	}
	var quiet, busy, ratios []float64
	failed := 0
	for range b.Count {
		still, err := load.Do(ctx, b.stream(1000, true, rest))
		if err != nil {
			return nil, err
		}
		during, err := b.underLoad(ctx, "rollback", "one")
		if err != nil {
			return nil, err
		}
		failed += during.Failed + still.Failed
		quiet, busy = append(quiet, seconds(still.Percentile(99))), append(busy, seconds(during.Percentile(99)))
		ratios = append(ratios, seconds(during.Percentile(99))/seconds(still.Percentile(99)))
	}
	return []Result{
		{Measure: "p99 at 1000/s keep-alive, at rest", Unit: Seconds, Values: quiet},
		{Measure: "p99 at 1000/s keep-alive, while a release is switched", Unit: Seconds, Values: busy, Note: fmt.Sprintf("%d requests lost", failed)},
		{Measure: "… beside at rest", Aim: "1.5 ×", Limit: 1.5, Unit: Ratio, Values: ratios},
	}, nil
}

// underLoad runs a command while the service is asked 1000 times a second.
func (b *Bench) underLoad(ctx context.Context, args ...string) (load.Report, error) {
	l, err := load.Start(ctx, b.stream(1000, true, 0))
	if err != nil {
		return load.Report{}, err
	}
	_, failed := b.dray(ctx, args...)
	report := l.Stop()
	if report.Sent == 0 {
		failed = errors.Join(failed, errors.New("no request was sent"))
	}
	return report, failed
}
