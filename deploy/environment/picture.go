package environment

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"sync"
	"time"

	"dray/pipeline"
	"dray/targets/api"
)

// notYet is said of a host that has not been looked at yet.
const notYet = "connecting"

// Picture is the status of environments as looks at their hosts bring it up to
// date.
type Picture struct {
	Views []Status

	envs    []*pipeline.Environment
	missing []int    // hosts of each environment that nothing is known of yet
	told    []string // of each environment, what counted as its state when Changed was asked last
}

// look is what a look at one host of one environment gave.
type look struct {
	env, host int // where it belongs in the picture
	view      HostStatus
}

// Watch shows a picture of environments until ctx ends: after every look at a
// host, with the number of its environment, and every second, with -1, for what
// counts seconds. Every host is looked at by itself, so that one which is silent
// holds up no other.
func (o *Opener) Watch(ctx context.Context, envs []*pipeline.Environment, show func(p *Picture, env int) error) error {
	p := &Picture{envs: envs, Views: make([]Status, len(envs)), missing: make([]int, len(envs)), told: make([]string, len(envs))}
	ctx, cancel := context.WithCancel(ctx)
	looks := make(chan look)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for i, env := range envs {
		p.Views[i].Hosts = make([]HostStatus, len(env.Hosts))
		p.missing[i] = len(env.Hosts)
		for j, name := range env.Hosts {
			p.Views[i].Hosts[j] = HostStatus{Environment: env.Name, Host: name, Error: notYet}
			group.Go(func() {
				o.KeepLooking(ctx, env, name, func(v HostStatus) {
					select {
					case looks <- look{i, j, v}:
					case <-ctx.Done():
					}
				})
			})
		}
		p.sum(i)
	}
	tick := time.NewTicker(LookPause)
	defer tick.Stop()
	for {
		changed := -1
		select {
		case <-ctx.Done():
			return nil // the reader had enough
		case l := <-looks:
			p.take(l)
			changed = l.env
		case <-tick.C:
		}
		if err := show(p, changed); err != nil {
			return err
		}
	}
}

// take brings a look into the picture.
func (p *Picture) take(l look) {
	v := &p.Views[l.env].Hosts[l.host]
	if v.Error == notYet {
		p.missing[l.env]--
	}
	*v = l.view
	p.sum(l.env)
}

func (p *Picture) sum(i int) {
	v := Status{Environment: p.envs[i].Name, Hosts: p.Views[i].Hosts}
	v.Sum(p.envs[i])
	p.Views[i] = v
}

// Changed tells whether an environment, all hosts of which have been looked at,
// differs from when this was asked last: in all that is known of it, or in what
// its line is made of.
func (p *Picture) Changed(env int, whole bool) bool {
	gist := p.Views[env].gist(whole)
	if p.missing[env] > 0 || gist == p.told[env] {
		return false
	}
	p.told[env] = gist
	return true
}

// numbers in an error or a drift count seconds or ports: nothing has changed
// when they do.
var numbers = regexp.MustCompile(`[0-9]+`)

// gist is what of a status counts as a change: all of it, or what its line is
// made of. Leases that are renewed change nothing.
func (v *Status) gist(whole bool) string {
	out := Status{Release: v.Release, Revision: v.Revision, Images: v.Images, Services: v.Services, Hosts: slices.Clone(v.Hosts)}
	for i := range out.Hosts {
		h := &out.Hosts[i]
		h.Error = numbers.ReplaceAllString(h.Error, "")
		if h.State == nil {
			continue
		}
		s := *h.State
		if !whole {
			s = api.Environment{Deployment: s.Deployment, Lease: s.Lease, Freeze: s.Freeze, Drift: s.Drift}
		}
		if s.Lease != nil {
			s.Lease = &api.Lease{Fence: s.Lease.Fence, Holder: s.Lease.Holder}
		}
		if s.Deployment != nil {
			d := *s.Deployment
			d.Deadline = time.Time{}
			s.Deployment = &d
		}
		s.Drift = slices.Clone(s.Drift)
		for j := range s.Drift {
			s.Drift[j].Detail = numbers.ReplaceAllString(s.Drift[j].Detail, "")
		}
		h.State = &s
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err.Error() // plain values always marshal
	}
	return string(text)
}
