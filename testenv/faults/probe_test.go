package faults

import (
	"context"
	"fmt"
	"time"

	"dray/testenv/load"
)

// probeRate is how many requests a second each host of an environment gets
// during a trial: two in three on a connection of their own.
const (
	freshRate  = 40
	keptRate   = 20
	probeLimit = 5 * time.Second // an answer must come within; the machine may be busy
)

// probes ask every host of an environment all the while.
type probes struct {
	runs map[string][]*load.Run
	// excused are the times in which a host need not answer.
	excused map[string]window
}

type window struct{ from, to time.Time }

func (f *field) probe(ctx context.Context, env string) (*probes, error) {
	p := &probes{runs: map[string][]*load.Run{}, excused: map[string]window{}}
	for _, host := range hostsOf[env] {
		url := "http://" + f.Lab.Host(host).Addr + "/version"
		for _, c := range []*load.HTTP{
			{URL: url, Rate: freshRate, Timeout: probeLimit},
			{URL: url, Rate: keptRate, Timeout: probeLimit, KeepAlive: true},
		} {
			run, err := load.Start(ctx, c)
			if err != nil {
				p.stop()
				return nil, fmt.Errorf("probing %s: %w", host, err)
			}
			p.runs[host] = append(p.runs[host], run)
		}
	}
	return p, nil
}

// excuse says that a host need not answer from a time on; amend ends that.
func (p *probes) excuse(host string, from time.Time) { p.excused[host] = window{from: from} }

func (p *probes) amend(host string, to time.Time) {
	if w, ok := p.excused[host]; ok && w.to.IsZero() {
		p.excused[host] = window{w.from, to}
	}
}

// stop ends the probes and says what failed that had no excuse.
func (p *probes) stop() (sent int, faults []string) {
	for host, runs := range p.runs {
		for _, run := range runs {
			r := run.Stop()
			sent += r.Sent
			if r.Failed == 0 {
				continue
			}
			w, excused := p.excused[host]
			if excused && !r.FirstFailure.Before(w.from) && (w.to.IsZero() || r.LastLost.Before(w.to)) {
				continue
			}
			text := fmt.Sprintf("%s did not answer always, first at %s, the last that was sent at %s: %s", host, clock(r.FirstFailure), clock(r.LastLost), r)
			if excused {
				text += fmt.Sprintf(" (excused from %s to %s)", clock(w.from), clock(w.to))
			}
			faults = append(faults, text)
		}
	}
	return sent, faults
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }
