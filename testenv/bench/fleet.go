package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dray/testenv"
	"dray/testenv/world"
)

// some is how many hosts of the fleet its smaller environment has: what a host
// costs there and in the whole should be the same.
const some = 10

// fleet is many light hosts with one small service.
type fleet struct {
	*world.World
	hosts int
}

// measureFleet deploys to many hosts at once, and then again with nothing to
// do.
func measureFleet(ctx context.Context, b *Bench) (_ []Result, err error) {
	const measure = "no-op deploy over many hosts"
	if b.Hosts < some {
		return []Result{{Measure: measure, Skipped: "no -hosts"}}, nil
	}
	began := time.Now()
	lab, err := testenv.Make(ctx, testenv.Options{Hosts: testenv.Names("f", b.Hosts), Logger: b.Logger})
	if err != nil {
		return nil, err
	}
	up := time.Since(began)
	defer func() { err = errors.Join(err, lab.Close(context.WithoutCancel(ctx))) }()
	w, err := world.Make(b.Bin, filepath.Join(b.dir, "fleet"), lab, b.world.Mirror)
	if err != nil {
		return nil, err
	}
	defer func() {
		_, stopped := drayIn(context.WithoutCancel(ctx), w, "builder", "stop")
		err = errors.Join(err, stopped)
	}()
	f := &fleet{World: w, hosts: b.Hosts}
	if err := f.write(); err != nil {
		return nil, err
	}
	results, err := f.measure(ctx, b.Count)
	if len(results) > 0 {
		results[0].Note += fmt.Sprintf("; the hosts came up in %.1f s", up.Seconds())
	}
	return results, err
}

func (f *fleet) measure(ctx context.Context, count int) ([]Result, error) {
	first, err := drayIn(ctx, f.World, "deploy", "all")
	if err != nil {
		return nil, err
	}
	if _, err := drayIn(ctx, f.World, "deploy", "some"); err != nil {
		return nil, err
	}
	var all, few series
	for range count {
		for env, s := range map[string]*series{"all": &all, "some": &few} {
			r, err := drayIn(ctx, f.World, "deploy", env)
			if err != nil {
				return nil, err
			}
			s.add(r)
		}
	}
	memory, err := f.memory(ctx)
	if err != nil {
		return nil, err
	}
	noop := all.result(fmt.Sprintf("no-op deploy over %d hosts", f.hosts), "", "10 s", 10)
	noop.Note = fmt.Sprintf("the client at most %s (aim 200 MB), %.2f s of processor", Bytes.text(noop.RSS), noop.CPU)
	each := Result{Measure: "… for each host, as wall time", Aim: "flat", Unit: Seconds}
	for _, v := range all.wall {
		each.Values = append(each.Values, v/float64(f.hosts))
	}
	least := few.result("", "", "", 0)
	least.complete(0)
	each.Note = fmt.Sprintf("over %d hosts %s each", some, Seconds.text(least.Median/some))
	if more := float64(f.hosts - some); more > 0 {
		each.Note += fmt.Sprintf("; the client takes %s of processor and %s of memory for each host more", Seconds.text((noop.CPU-least.CPU)/more), Bytes.text((noop.RSS-least.RSS)/more))
	}
	return []Result{
		{Measure: fmt.Sprintf("first deploy to %d clean hosts at once", f.hosts), Unit: Seconds, Values: []float64{first.Wall.Seconds()},
			Note: fmt.Sprintf("the client at most %s, %.1f s of processor", Bytes.text(float64(first.RSS)), first.CPU.Seconds())},
		noop, each,
		{Measure: "dray's programs on each of these hosts, PSS", Unit: Bytes, Values: memory},
	}, nil
}

// looked is on how many hosts memory is looked at.
const looked = 5

// memory is what dray uses on the last hosts.
func (f *fleet) memory(ctx context.Context) ([]float64, error) {
	if err := rested(ctx); err != nil {
		return nil, err
	}
	var values []float64
	hosts := f.Lab.Hosts()
	for _, h := range hosts[len(hosts)-looked:] {
		u, err := programs(h, drays...)
		if err != nil {
			return nil, err
		}
		values = append(values, u.sum())
	}
	return values, nil
}

// write makes the project: busybox's server, one on each host.
func (f *fleet) write() error {
	var hcl strings.Builder
	hcl.WriteString(fleetService)
	var all []string
	for _, h := range f.Lab.Hosts() {
		fmt.Fprintf(&hcl, "host %q { address = %q }\n", h.Name, "ssh://"+testenv.User+"@"+h.Name)
		all = append(all, "host."+h.Name)
	}
	for name, hosts := range map[string][]string{"all": all, "some": all[:some]} {
		fmt.Fprintf(&hcl, "environment %q { hosts = [%s] }\n", name, strings.Join(hosts, ", "))
	}
	return errors.Join(
		os.WriteFile(filepath.Join(f.Project, "dray.hcl"), []byte(hcl.String()), 0o644),
		os.WriteFile(filepath.Join(f.Project, "page.html"), []byte("here\n"), 0o644),
		os.WriteFile(filepath.Join(f.Project, "Dockerfile"), []byte(fleetDockerfile), 0o644))
}

const fleetDockerfile = `FROM busybox
COPY page.html /www/index.html
CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]
`

const fleetService = `project = "fleet"
target "page" { context = "." }
service "page" {
  image = target.page
  mode  = "global"
  port "http" { to = 8080 }
  check {
    type = "http"
    port = "http"
  }
  update {
    strategy         = "all-at-once"
    min_healthy_time = "0s"
  }
}
`
