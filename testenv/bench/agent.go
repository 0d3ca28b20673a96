package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"dray/builder/registry"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/testenv"
)

// Some figures are of one host's work alone. They are taken by asking its
// agent directly, as the client does, on its socket.

// agentOf is a client of the agent on a host, past SSH.
func agentOf(h *testenv.Host) *api.Client {
	socket := fmt.Sprintf("/proc/%d/root/run/dray/agent.sock", h.PID())
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return api.NewClient(dial, pipeline.Actor{User: "bench", Machine: "bench", Command: "bench"})
}

// trial is a deployment of the app's release to host c1, by hand, as an
// environment of its own: what it leaves is forgotten, what environment clean
// runs there stays, its image with it.
type trial struct {
	env     *api.EnvironmentClient
	prepare api.Prepare
}

// trialPort is published by a trial; 80 is environment clean's.
const trialPort = 81

// newTrial takes the release that runs on environment one and a lease on c1.
func (b *Bench) newTrial(ctx context.Context, sources ...api.ImageSource) (*trial, error) {
	releases, err := agentOf(b.world.Lab.Host("o1")).Environment("shop", "one").Releases(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the release: %w", err)
	}
	if len(releases) == 0 {
		return nil, errors.New("reading the release: there is none")
	}
	release := releases[0]
	release.Environment, release.Number = "trial", 1
	release.Placement = map[string][]string{"c1": {"web/1"}}
	for i := range release.Services {
		release.Services[i].Update.MinHealthyTime = 0
		for p := range release.Services[i].Ports {
			release.Services[i].Ports[p].Publish = trialPort
		}
	}
	t := &trial{env: agentOf(b.world.Lab.Host("c1")).Environment("shop", "trial")}
	lease, err := t.env.AcquireLease(ctx, api.AcquireLease{Holder: release.By, TTL: 60})
	if err != nil {
		return nil, err
	}
	t.prepare = api.Prepare{
		Deployment: fmt.Sprintf("bench-%d", time.Now().UnixNano()), Fence: lease.Fence, Kind: "deploy", Actor: release.By,
		Host: "c1", Release: release, Sources: map[string][]api.ImageSource{release.Images["web"].Digest: sources},
	}
	return t, nil
}

// end takes back what the trial has made.
func (t *trial) end(ctx context.Context) error {
	_, err := t.env.Revert(ctx, t.prepare.Deployment, api.Revert{Fence: t.prepare.Fence, Reason: "measured"}, event.Discard)
	return errors.Join(err, t.env.ReleaseLease(ctx, t.prepare.Fence))
}

// serveToHosts opens a registry with this user's images on the lab's bridge:
// what a registry in the same network is to people's hosts.
func (b *Bench) serveToHosts(ctx context.Context) (source api.ImageSource, done func() error, err error) {
	images, err := registry.Open(filepath.Join(b.world.Data, "images"))
	if err != nil {
		return source, nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", b.world.Lab.Gateway()+":0")
	if err != nil {
		return source, nil, err
	}
	server := &http.Server{Handler: registry.Handler(images.Source(), registry.HandlerOptions{}), ReadHeaderTimeout: time.Minute}
	var serving errgroup.Group
	serving.Go(func() error { return server.Serve(listener) })
	done = func() error {
		err := server.Close()
		if ended := serving.Wait(); !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
		return err
	}
	return api.ImageSource{Kind: "registry", Address: listener.Addr().String() + "/shop/web", Insecure: true}, done, nil
}

// measurePull has a host without any image get ready to run the app's. What
// is beside the pull in that (a container is made) is small: see create.
func measurePull(ctx context.Context, b *Bench) (_ []Result, err error) {
	if err := b.ready(ctx, "one"); err != nil {
		return nil, err
	}
	source, done, err := b.serveToHosts(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	var values []float64
	var received int64
	for range b.Count {
		if err := b.wipe(ctx, "clean"); err != nil {
			return nil, err
		}
		if _, err := b.dray(ctx, "host", "setup", "c1"); err != nil {
			return nil, err
		}
		took, bytes, err := b.pull(ctx, source)
		if err != nil {
			return nil, err
		}
		values, received = append(values, took.Seconds()), bytes
	}
	return []Result{{
		Measure: "pull + unpack of the cold image on a host", Today: "Docker 1.8 s (49.5 MB)", Aim: "1.2 s", Limit: 1.2,
		Unit: Seconds, Values: values, Note: fmt.Sprintf("%s, from a registry beside it, a container made", Bytes.text(float64(received))),
	}}, nil
}

func (b *Bench) pull(ctx context.Context, source api.ImageSource) (took time.Duration, received int64, err error) {
	t, err := b.newTrial(ctx, source)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, t.end(ctx)) }()
	began := time.Now()
	prepared, err := t.env.Prepare(ctx, t.prepare, event.Discard)
	if err != nil {
		return 0, 0, err
	}
	return time.Since(began), prepared.Received, nil
}

// measureAnswer has a host with the image create a container, start it and
// publish it, until the port answers.
func measureAnswer(ctx context.Context, b *Bench) ([]Result, error) {
	if err := b.ready(ctx, "one"); err != nil {
		return nil, err
	}
	if err := b.ready(ctx, "clean"); err != nil {
		return nil, err
	}
	if _, err := b.dray(ctx, "deploy", "one"); err != nil { // both have the same image
		return nil, err
	}
	if _, err := b.dray(ctx, "deploy", "clean"); err != nil {
		return nil, err
	}
	var values []float64
	for range b.Count {
		took, err := b.answer(ctx)
		if err != nil {
			return nil, err
		}
		values = append(values, took.Seconds())
	}
	return []Result{{
		Measure: "create → first answer on the published port", Today: "Docker 0.35 s (`run -d`)", Aim: "0.15 s", Limit: 0.15,
		Unit: Seconds, Values: values, Note: "asked of the agent",
	}}, nil
}

func (b *Bench) answer(ctx context.Context) (took time.Duration, err error) {
	t, err := b.newTrial(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, t.end(ctx)) }()
	waiting, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	answered := make(chan time.Time, 1)
	url := fmt.Sprintf("http://%s:%d/up", b.addresses("clean")[0], trialPort)
	began := time.Now()
	go func() { answered <- firstAnswer(waiting, url) }() // ends with the answer or with waiting
	if _, err := t.env.Prepare(ctx, t.prepare, event.Discard); err != nil {
		return 0, err
	}
	_, err = t.env.Steps(ctx, t.prepare.Deployment, api.Steps{Fence: t.prepare.Fence, Steps: []api.Step{
		{Key: "start", Action: api.ActionStart, Instances: []string{"web/1"}},
		{Key: "switch", Action: api.ActionSwitch, Instances: []string{"web/1"}},
	}}, event.Discard)
	if err != nil {
		return 0, err
	}
	at := <-answered
	if at.IsZero() {
		return 0, fmt.Errorf("%s did not answer", url)
	}
	return at.Sub(began), nil
}

// firstAnswer asks each millisecond; zero: ctx ended before an answer came.
func firstAnswer(ctx context.Context, url string) time.Time {
	client := freshClient()
	for !answers(ctx, client, url, "up") {
		select {
		case <-ctx.Done():
			return time.Time{}
		case <-time.After(time.Millisecond):
		}
	}
	return time.Now()
}
