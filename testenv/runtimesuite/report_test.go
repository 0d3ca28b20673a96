package runtimesuite

import (
	"strings"
	"testing"
)

func TestReadTAP(t *testing.T) {
	got := readTAP(`1..4
noise before
ok 1 runc run # of two
not ok 2 runc exec [a # skip in the name]
# (in test file exec.bats, line 3)
# it failed
ok 3 criu # skip test requires criu
ok 4 sub # skip
`)
	for name, want := range map[string]Outcome{
		"runc run # of two": Pass, "criu": Skipped, "sub": Skipped,
	} {
		if got[name].Outcome != want {
			t.Errorf("%s: %+v, want %s", name, got[name], want)
		}
	}
	var failed []string
	for name, r := range got {
		if r.Outcome == Fail {
			failed = append(failed, name+"\n"+r.Output)
		}
	}
	if len(failed) != 1 || !strings.HasPrefix(failed[0], "runc exec [a # skip in the name]\n") || !strings.Contains(failed[0], "# it failed\n") {
		t.Errorf("failed: %q", failed)
	}
}

func TestJudge(t *testing.T) {
	outcome := func(file, name string, runc, oci Outcome) Case {
		return Case{File: file, Name: name, Reference: Result{Outcome: runc}, Tested: Result{Outcome: oci}}
	}
	cases := []Case{
		outcome("a.bats", "both", Pass, Pass),
		outcome("a.bats", "neither", Fail, Fail),
		outcome("a.bats", "ours", Fail, Pass),
		outcome("a.bats", "known", Pass, Fail),
		outcome("a.bats", "new", Pass, Fail),
		outcome("a.bats", "skipped", Pass, Skipped),
		outcome("a.bats", "gone", Pass, Missing),
		outcome("a.bats", "mended", Pass, Pass),
		outcome("a.bats", "broken here", Fail, Fail),
	}
	reasons := Reasons{
		"a.bats: known": "so", "a.bats: mended": "so", "a.bats: broken here": "so", "a.bats: renamed": "so", "b.bats: other": "so",
	}
	v := Judge(cases, reasons, "a*")
	var bad []string
	for _, c := range v.Unexplained {
		bad = append(bad, c.Name)
	}
	if got := strings.Join(bad, ", "); got != "new, skipped, gone" {
		t.Errorf("without a reason: %s", got)
	}
	if len(v.Explained) != 1 || len(v.Better) != 1 || v.Better[0].Name != "ours" {
		t.Errorf("%+v", v)
	}
	if got := strings.Join(v.Stale, ", "); got != "a.bats: mended, a.bats: renamed" {
		t.Errorf("stale: %s", got)
	}
	if got := Judge(cases, reasons, "").Stale; len(got) != 3 {
		t.Errorf("stale when all ran: %v", got)
	}
	if v.Err() == nil || (Verdict{}).Err() != nil || (Verdict{Stale: []string{"x"}}).Err() == nil {
		t.Error("the verdict does not follow")
	}
	var out strings.Builder
	if err := Report(&out, cases, reasons, v); err != nil || !strings.Contains(out.String(), "FAILS (missing): a.bats: gone") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestReasons(t *testing.T) {
	reasons, err := KnownReasons()
	if err != nil || len(reasons) == 0 {
		t.Fatal(reasons, err)
	}
	for _, bad := range []string{
		"a.bats: test", "a.bats: test => ", "a: test => so", "a.bats: test => so\na.bats: test => so",
	} {
		if _, err := readReasons(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
