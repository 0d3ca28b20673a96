package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dray/testenv"
)

// Verbs.
const (
	deploy   = "deploy"
	promote  = "promote"
	rollback = "rollback"
)

// trial is one verb with one fault at one point.
type trial struct {
	verb, env string
	point     point
	fault     fault
}

func (tr trial) String() string {
	return strings.ReplaceAll(strings.Join([]string{tr.verb, tr.env, tr.point.name, tr.fault.name}, "/"), " ", "_")
}

// possible tells if the fault can be at that point.
func (tr trial) possible() bool {
	return (tr.fault.at == nil || tr.fault.at(tr)) && (tr.point.others == nil || len(hostsOf[tr.env]) > 1)
}

// outcome is what a trial came to, for the table.
type outcome struct {
	skipped  string // why it was not made
	exit     int    // of the verb; -1: killed
	release  string // old or new, afterwards
	requests int
	took     time.Duration // of the verb
}

func (o outcome) String() string {
	if o.skipped != "" {
		return "left out: " + o.skipped
	}
	exit := fmt.Sprint("exit ", o.exit)
	if o.exit < 0 {
		exit = "killed"
	}
	return fmt.Sprintf("%s, %s release, %d requests, %.1fs", exit, o.release, o.requests, o.took.Seconds())
}

// hostOf is the host at which a fault is made: not the first one, which
// deployers ask first.
func (f *field) hostOf(env string) *testenv.Host {
	hosts := hostsOf[env]
	return f.Lab.Host(hosts[len(hosts)/2])
}

// try makes one trial. Everything must be settled before, and is afterwards.
func (f *field) try(t *testing.T, tr trial) outcome {
	t.Helper()
	old, version, args := f.ready(t, tr)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	s := &scene{field: f, env: tr.env, host: f.hostOf(tr.env)}
	var err error
	if s.before, err = f.environment(ctx, s.host.Name, tr.env); err != nil {
		t.Fatal(err)
	}
	if s.probes, err = f.probe(ctx, tr.env); err != nil {
		t.Fatal(err)
	}
	v, err := f.begin(ctx, s, tr, args)
	if err != nil {
		t.Fatal(err)
	}
	o := f.strike(ctx, t, s, tr, v)
	f.claim(ctx, t, s, tr, &o, v, old, version)
	var silent []string
	o.requests, silent = s.probes.stop()
	for _, fault := range silent {
		t.Error(fault)
	}
	if t.Failed() || *explain {
		f.explain(t, s, v)
	}
	return o
}

// ready makes sure that the verb has something to do, and gives the version
// that runs, the one that the verb brings, and the verb's words.
func (f *field) ready(t *testing.T, tr trial) (old, version int, args []string) {
	t.Helper()
	switch tr.verb {
	case rollback:
		// Back to what ran before the newest, whatever was rolled back earlier.
		f.settled(t, tr.env, 1)
		version, old = f.current(t, tr.env), f.next()
		f.Dray(t, 0, append([]string{deploy, tr.env}, vars(old)...)...)
		return old, version, []string{rollback, tr.env}
	case promote:
		f.settled(t, tr.env, 1)
		f.payload(t)
		f.Dray(t, 0, append([]string{deploy, "stage"}, vars(f.next())...)...)
		version = f.next()
		return f.current(t, tr.env), version, append([]string{promote, "stage", tr.env}, vars(version)...)
	}
	f.settled(t, tr.env, 1)
	if tr.point.pulls {
		f.payload(t)
	}
	version = f.next()
	args = append([]string{deploy, tr.env}, vars(version)...)
	if tr.fault.registry {
		args = append(args, "--file", "registry.hcl")
	}
	return f.current(t, tr.env), version, args
}

// verbRun is the client under trial.
type verbRun struct {
	cmd     *exec.Cmd
	waiting *waiting
	out     bytes.Buffer
	ended   chan struct{}
	began   time.Time
	took    time.Duration
}

func (v *verbRun) exit() int { return v.cmd.ProcessState.ExitCode() }

// begin arms the point and starts the client.
func (f *field) begin(ctx context.Context, s *scene, tr trial, args []string) (*verbRun, error) {
	waiting, err := f.arm(tr.point, s.host)
	if err != nil {
		return nil, fmt.Errorf("arming %s: %w", tr.point.name, err)
	}
	v := &verbRun{cmd: f.Command(ctx, args...), waiting: waiting, ended: make(chan struct{}), began: time.Now()}
	v.cmd.Stdout, v.cmd.Stderr = &v.out, &v.out
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	s.client, s.ended = v.cmd, v.ended
	go func() { // ends with the client, which ctx bounds
		defer close(v.ended)
		_ = v.cmd.Wait() // its exit code is looked at
		v.took = time.Since(v.began)
	}()
	return v, nil
}

// strike makes the fault at the point, lets the client come to its end, and
// heals what must be healed.
func (f *field) strike(ctx context.Context, t *testing.T, s *scene, tr trial, v *verbRun) (o outcome) {
	t.Helper()
	err := v.waiting.await(ctx, v.ended, tr.env)
	if err != nil {
		t.Error(err)
	} else if err = tr.fault.make(ctx, s); errors.Is(err, errNone) {
		o.skipped = err.Error()
	} else if err != nil {
		t.Errorf("making the fault: %v", err)
	}
	if err := v.waiting.release(); err != nil {
		t.Errorf("releasing the point: %v", err)
	}
	select {
	case <-v.ended:
	case <-time.After(patience):
		t.Errorf("the client has not ended within %s", patience)
		_ = v.cmd.Process.Kill()
		<-v.ended
	}
	o.exit, o.took = v.exit(), v.took
	f.tellsTruth(ctx, t, tr.env)
	if tr.fault.heal != nil {
		if err := tr.fault.heal(ctx, s); err != nil {
			t.Errorf("undoing the fault: %v", err)
		}
	}
	return o
}

// evidenceOf prints what a host knows of a failure: what the agent did, where its
// rules lead, how many packets they refused, and who has which address.
const evidenceOf = `tail -n 40 /var/lib/dray/agent.log /var/log/drayd.log 2>/dev/null
nft list table ip dray 2>/dev/null | grep -e counter -e 'chain .*/' -e dnat
for c in /var/lib/dray/containers/*/state.json; do echo "$c: $(cat "$c" | tr -d '\n ' | grep -o -e '"[Nn]ame":"[^"]*"' -e '"[Aa]ddress":"[^"]*"' -e '"[Ss]tate":"[^"]*"' -e '"[Ww]anted":[a-z]*' | tr '\n' ' ')"; done`

// explain shows what is needed to understand a failure.
func (f *field) explain(t *testing.T, s *scene, v *verbRun) {
	t.Helper()
	t.Logf("the client:\n%s", v.out.String())
	for _, name := range hostsOf[s.env] {
		out, err := f.Lab.Host(name).Exec(context.WithoutCancel(t.Context()), "sh", "-c", evidenceOf)
		t.Logf("%s: %v\n%s", name, err, out)
	}
}
