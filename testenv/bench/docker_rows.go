package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// withDocker is a row that needs the engines, and is left out without them.
func withDocker(measure string, do func(context.Context, *Bench, *engines) ([]Result, error)) func(context.Context, *Bench) ([]Result, error) {
	return func(ctx context.Context, b *Bench) ([]Result, error) {
		e, err := b.docker(ctx)
		var none unavailable
		if errors.As(err, &none) {
			return []Result{{Measure: measure, Skipped: "Docker's engine is not to be had here: " + lastLine(none)}}, nil
		}
		if err != nil {
			return nil, err
		}
		return do(ctx, b, e)
	}
}

func seconds(all []time.Duration) (values []float64) {
	for _, d := range all {
		values = append(values, d.Seconds())
	}
	return values
}

func dockerBuild(ctx context.Context, b *Bench, e *engines) ([]Result, error) {
	if _, err := e.build(ctx); err != nil {
		return nil, err
	}
	var noop, change []time.Duration
	for range b.Count {
		took, err := e.build(ctx)
		if err != nil {
			return nil, err
		}
		noop = append(noop, took)
	}
	for range b.Count {
		if _, err := b.app.change(); err != nil {
			return nil, err
		}
		took, err := e.build(ctx)
		if err != nil {
			return nil, err
		}
		change = append(change, took)
	}
	return []Result{
		{Measure: "Docker here: no-op `docker build`", Unit: Seconds, Values: seconds(noop)},
		{Measure: "Docker here: `docker build` of a one-line change", Unit: Seconds, Values: seconds(change)},
	}, nil
}

func dockerScript(ctx context.Context, b *Bench, e *engines) ([]Result, error) {
	if _, err := e.deploy(ctx); err != nil {
		return nil, err
	}
	var live, noop []time.Duration
	for range b.Count {
		answered, err := e.change(ctx, b)
		if err != nil {
			return nil, err
		}
		live = append(live, answered)
		again, err := e.deploy(ctx)
		if err != nil {
			return nil, err
		}
		noop = append(noop, again)
	}
	return []Result{
		{Measure: "Docker here: a script, one-line change → live on one host", Unit: Seconds, Values: seconds(live)},
		{Measure: "Docker here: a script with nothing to do", Unit: Seconds, Values: seconds(noop), Note: "it starts the container anew"},
	}, nil
}

// dockerLost counts what a script's deployments lose, as measureLost does.
func dockerLost(ctx context.Context, b *Bench, e *engines) ([]Result, error) {
	if _, err := e.deploy(ctx); err != nil {
		return nil, err
	}
	lost, err := b.lost(ctx, "http://"+e.lab.Host(server).Addr+"/version", func() error {
		_, err := e.change(ctx, b)
		return err
	})
	for i := range lost {
		lost[i].Measure = "Docker here: a script, " + lost[i].Measure
	}
	return lost, err
}

func dockerPull(ctx context.Context, b *Bench, e *engines) ([]Result, error) {
	if _, err := e.deploy(ctx); err != nil {
		return nil, err
	}
	var took []time.Duration
	for range b.Count {
		if err := e.empty(ctx); err != nil {
			return nil, err
		}
		one, err := e.run(ctx, server, "pull", "-q", e.image)
		if err != nil {
			return nil, err
		}
		took = append(took, one)
	}
	return []Result{{Measure: "Docker here: `docker pull` of the cold image, from a registry beside it", Unit: Seconds, Values: seconds(took)}}, nil
}

// empty removes all containers and images of the server.
func (e *engines) empty(ctx context.Context) error {
	cmd := e.command(ctx, server, "sh", "-c", `"$0" ps -aq | xargs -r "$0" rm -f && "$0" system prune -af`, e.program)
	_, err := timed("docker system prune", cmd)
	return err
}

func dockerAnswer(ctx context.Context, b *Bench, e *engines) ([]Result, error) {
	if _, err := e.deploy(ctx); err != nil {
		return nil, err
	}
	var took []time.Duration
	for range b.Count {
		one, err := e.answer(ctx)
		if err != nil {
			return nil, err
		}
		took = append(took, one)
	}
	return []Result{{Measure: "Docker here: `docker run -d` → first answer on the published port", Unit: Seconds, Values: seconds(took)}}, nil
}

// answer starts a container, and asks it once the command has ended: see change.
func (e *engines) answer(ctx context.Context) (took time.Duration, err error) {
	waiting, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	url := fmt.Sprintf("http://%s:%d/up", e.lab.Host(server).Addr, trialPort)
	began := time.Now()
	args := append([]string{"run", "-d", "--name", "probe", "-p", fmt.Sprintf("%d:8080", trialPort)}, limits...)
	if _, err := e.run(ctx, server, append(args, e.image)...); err != nil {
		return 0, err
	}
	at := firstAnswer(waiting, url)
	_, err = e.run(ctx, server, "rm", "-f", "probe")
	if at.IsZero() {
		err = errors.Join(fmt.Errorf("%s did not answer", url), err)
	}
	return at.Sub(began), err
}

// dockers are the programs of which Docker's engine is made.
var dockers = []string{"dockerd", "containerd", "containerd-shim-runc-v2", "docker-proxy"}

// dockerMemory is measureMemory's. The engine is not restarted between: it
// takes the containers with it.
func dockerMemory(ctx context.Context, b *Bench, e *engines) ([]Result, error) {
	if _, err := e.deploy(ctx); err != nil {
		return nil, err
	}
	use := func() (usage, error) {
		if err := rested(ctx); err != nil {
			return nil, err
		}
		return programs(e.lab.Host(server), dockers...)
	}
	one, err := use()
	if err != nil {
		return nil, err
	}
	for range crowd - 1 {
		args := append([]string{"run", "-d", "--label", "crowd", "-p", "8080"}, limits...)
		if _, err := e.run(ctx, server, append(args, e.image)...); err != nil {
			return nil, err
		}
	}
	many, err := use()
	if err != nil {
		return nil, err
	}
	if err := e.empty(ctx); err != nil {
		return nil, err
	}
	return []Result{
		{Measure: "Docker here: the engine idle, PSS", Unit: Bytes, Values: []float64{e.idle.sum()}, Note: e.idle.String()},
		{Measure: "Docker here: the engine after a pull and a deployment, PSS", Unit: Bytes, Values: []float64{one["dockerd"] + one["containerd"]}},
		{Measure: "Docker here: each container more, PSS", Unit: Bytes, Values: []float64{(many.sum() - one.sum()) / (crowd - 1)},
			Note: fmt.Sprintf("with 1: %s; with %d: %s", one, crowd, many)},
	}, nil
}
