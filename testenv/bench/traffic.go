package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// lostDeploys is over how many deployments lost requests are counted.
const lostDeploys = 10

// rest is how long a service is watched while nothing is done to it.
const rest = 5 * time.Second

// measureLost deploys one-line changes under load.
func measureLost(ctx context.Context, b *Bench) ([]Result, error) {
	if err := b.ready(ctx, "one"); err != nil {
		return nil, err
	}
	results, err := b.lost(ctx, b.versionURL(), func() error {
		_, _, err := b.change(ctx, "one")
		return err
	})
	for i := range results {
		results[i].Today, results[i].Aim, results[i].Limit = "script 77–89 each, Kamal 0", "0", 0.5
	}
	return results, err
}

// versionURL is where environment one's host tells its version.
func (b *Bench) versionURL() string { return "http://" + b.addresses("one")[0] + "/version" }

// lost counts the requests that are lost while something is deployed several
// times, of two streams of 200 a second: one on kept connections, one that
// opens a connection each time.
func (b *Bench) lost(ctx context.Context, url string, deploy func() error) ([]Result, error) {
	kinds := []struct {
		name string
		keep bool
	}{{"keep-alive", true}, {"a connection each", false}}
	quiet := make([]Seen, len(kinds))
	streams := make([]*stream, len(kinds))
	for i, k := range kinds {
		var err error
		if quiet[i], err = atRest(ctx, Load{URL: url, Rate: 200, KeepAlive: k.keep}); err != nil {
			return nil, err
		}
	}
	for i, k := range kinds {
		s, err := start(ctx, Load{URL: url, Rate: 200, KeepAlive: k.keep})
		if err != nil {
			return nil, err
		}
		defer s.abandon()
		streams[i] = s
	}
	var failed error
	for range lostDeploys {
		if failed = deploy(); failed != nil {
			break
		}
	}
	var results []Result
	for i, k := range kinds {
		busy, err := streams[i].stop()
		if err != nil {
			return nil, errors.Join(failed, err)
		}
		results = append(results, Result{
			Measure: fmt.Sprintf("requests lost at 200/s over %d deploys, %s", lostDeploys, k.name),
			Unit:    Count, Values: []float64{float64(busy.Failed)},
			Note: fmt.Sprintf("of %d; p99 %s while building and deploying here, %s at rest%s", busy.Sent,
				Seconds.text(busy.P99), Seconds.text(quiet[i].P99), reasons(busy)),
		})
	}
	return results, failed
}

func reasons(s Seen) (text string) {
	for _, reason := range slices.Sorted(maps.Keys(s.Errors)) {
		text += fmt.Sprintf("; %d × %s", s.Errors[reason], reason)
	}
	return text
}

// measureLatency compares the slowest hundredth of answers while a release is
// switched with that at rest. Rollbacks switch, there and back: nothing is
// built or sent on this machine meanwhile, so what slows the service is the
// switch itself.
func measureLatency(ctx context.Context, b *Bench) ([]Result, error) {
	if err := b.twoReleases(ctx, "one"); err != nil {
		return nil, err
	}
	newest, err := b.newest(ctx, "one")
	if err != nil {
		return nil, err
	}
	var quiet, busy, ratios []float64
	lost := Seen{Errors: map[string]int{}}
	for n := range b.Count {
		still, err := atRest(ctx, Load{URL: b.versionURL(), Rate: 1000, KeepAlive: true})
		if err != nil {
			return nil, err
		}
		command := []string{"rollback", "one"}
		if n%2 == 1 {
			command = append(command, fmt.Sprint(newest))
		}
		during, err := b.underLoad(ctx, command...)
		if err != nil {
			return nil, err
		}
		for _, seen := range []Seen{still, during} {
			lost.add(seen)
		}
		quiet, busy, ratios = append(quiet, still.P99), append(busy, during.P99), append(ratios, during.P99/still.P99)
	}
	return []Result{
		{Measure: "p99 at 1000/s keep-alive, at rest", Unit: Seconds, Values: quiet},
		{Measure: "p99 at 1000/s keep-alive, while a release is switched", Unit: Seconds, Values: busy, Note: fmt.Sprintf("%d requests lost%s", lost.Failed, reasons(lost))},
		{Measure: "… beside at rest", Aim: "1.5 ×", Limit: 1.5, Unit: Ratio, Values: ratios},
	}, nil
}

// underLoad runs a command while the service is asked 1000 times a second.
func (b *Bench) underLoad(ctx context.Context, args ...string) (Seen, error) {
	s, err := start(ctx, Load{URL: b.versionURL(), Rate: 1000, KeepAlive: true})
	if err != nil {
		return Seen{}, err
	}
	defer s.abandon()
	if _, err := b.dray(ctx, args...); err != nil {
		return Seen{}, err
	}
	return s.stop()
}
