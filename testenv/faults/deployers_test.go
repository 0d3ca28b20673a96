package faults

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"dray/targets/api"
)

// TestDeployers tries deployers that get in each other's way.
func TestDeployers(t *testing.T) {
	f := newField(t)
	f.settled(t, "three", 1)
	t.Run("two at once", f.twoAtOnce)
	t.Run("two that wait", f.twoThatWait)
	t.Run("a stale plan", f.stalePlan)
	t.Run("a wrong clock", f.wrongClock)
}

// client starts dray and gives what waits for its exit code and output.
func (f *field) client(t *testing.T, args ...string) (wait func() (int, string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	cmd := f.Command(ctx, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() (int, string) {
		defer cancel()
		_ = cmd.Wait() // its exit code is looked at
		return cmd.ProcessState.ExitCode(), out.String()
	}
}

// twoAtOnce looks that exactly one of two wins, and the other one is told who.
func (f *field) twoAtOnce(t *testing.T) {
	for range 5 {
		first, second := f.next(), f.next()
		a := f.client(t, append([]string{deploy, "three", "--lock-wait", "0s"}, vars(first)...)...)
		b := f.client(t, append([]string{deploy, "three", "--lock-wait", "0s"}, vars(second)...)...)
		codeA, outA := a()
		codeB, outB := b()
		winner, told := first, outB
		if codeB == 0 {
			winner, told = second, outA
		}
		if codes := []int{codeA, codeB}; !slices.Contains(codes, 0) || !slices.Contains(codes, 5) && codeA+codeB != 0 {
			t.Fatalf("they ended with %v\n%s\n%s", codes, outA, outB)
		}
		if codeA+codeB != 0 && !strings.Contains(told, "being changed by") {
			t.Errorf("the one refused is not told who was first: %s", told)
		}
		if codeA+codeB == 0 { // one after the other: the later one's runs
			winner = f.current(t, "three")
		}
		for _, host := range hostsOf["three"] {
			if v, err := f.whole(t.Context(), host, "three"); err != nil || v != winner {
				t.Errorf("%s runs version %d (%v), and %d has won", host, v, err, winner)
			}
		}
	}
}

// twoThatWait looks that both get their turn.
func (f *field) twoThatWait(t *testing.T) {
	a := f.client(t, append([]string{deploy, "three"}, vars(f.next())...)...)
	b := f.client(t, append([]string{deploy, "three"}, vars(f.next())...)...)
	codeA, outA := a()
	codeB, outB := b()
	if codeA != 0 || codeB != 0 {
		t.Errorf("they ended with %d and %d\n%s\n%s", codeA, codeB, outA, outB)
	}
	for _, host := range hostsOf["three"] {
		if _, err := f.whole(t.Context(), host, "three"); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// stalePlan rolls back while another deployment is on its way: the release to
// go back from is another one by then, and so may be the one to go back to.
func (f *field) stalePlan(t *testing.T) {
	f.settled(t, "three", 2)
	version := f.next()
	w, err := f.arm(pointNamed("verify"), f.hostOf("three"))
	if err != nil {
		t.Fatal(err)
	}
	a := f.client(t, append([]string{deploy, "three"}, vars(version)...)...)
	if err := w.await(t.Context(), nil, "three"); err != nil {
		t.Fatal(err)
	}
	b := f.client(t, rollback, "three", "--lock-wait", "1m")
	// It has chosen before it asks for the lease, and asks again and again.
	if err := eventually(t.Context(), patience, "the second one has connected", f.connectedTwice); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Second)
	if err := w.release(); err != nil {
		t.Fatal(err)
	}
	codeA, outA := a()
	codeB, outB := b()
	if codeA != 0 || codeB != 5 || !strings.Contains(outB, "since this was asked") {
		t.Errorf("they ended with %d and %d\n%s\n%s", codeA, codeB, outA, outB)
	}
	if now := f.current(t, "three"); now != version {
		t.Errorf("version %d runs, and %d was deployed", now, version)
	}
}

// connectedTwice says whether two clients are connected to the first host.
func (f *field) connectedTwice() error {
	processes, err := f.Lab.Host("p1").Processes()
	if err != nil {
		return err
	}
	connected := 0
	for _, p := range processes {
		if strings.Contains(p.Command, "drayd connect") && !strings.Contains(p.Command, "sh ") && !strings.Contains(p.Command, "sudo") {
			connected++
		}
	}
	if connected < 2 {
		return fmt.Errorf("%d clients are connected", connected)
	}
	return nil
}

// wrongClock speaks to an agent as a client would whose clock is off by
// decades. The only time that a client sends is in the id of its deployment.
// dray is linked statically, so no library can lie to the program itself.
func (f *field) wrongClock(t *testing.T) {
	host := hostsOf["three"][0]
	env := f.clients[host].Environment("shop", "three")
	before, err := env.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"19700101t000000-early", "29991231t235959-later"} {
		began := time.Now()
		got, err := env.AcquireLease(t.Context(), api.AcquireLease{TTL: 5, Holder: api.Actor{User: "clockless"}})
		if err != nil {
			t.Fatal(err)
		}
		if got.Seconds > 5 || got.Seconds < 5-time.Since(began).Seconds() {
			t.Errorf("%s: the lease lasts %.1fs", id, got.Seconds)
		}
		release := *before.Current
		release.Number, release.Created = before.LastNumber+1, time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
		_, err = env.Prepare(t.Context(), api.Prepare{Deployment: id, Fence: got.Fence, Kind: deploy, Host: host, Release: release}, nil)
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if err := env.ReleaseLease(t.Context(), got.Fence); err != nil {
			t.Error(err)
		}
		err = eventually(t.Context(), 20*time.Second, "the agent goes back by itself", func() error {
			now, err := env.Get(t.Context())
			if err == nil && (now.Deployment != nil || now.Lease != nil || now.Current.Number != before.Current.Number) {
				err = fmt.Errorf("deployment %+v, lease %+v", now.Deployment, now.Lease)
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if _, err := exec.LookPath("faketime"); err != nil {
		t.Log("faketime is not here; it could not reach a static program either")
	}
}
