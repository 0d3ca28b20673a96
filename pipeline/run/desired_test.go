package run

import (
	"strings"
	"testing"

	"dray/pipeline"
)

// TestApprovable: a yes is for what would enter now, and for nothing else.
func TestApprovable(t *testing.T) {
	env := &pipeline.Environment{Name: "prod", Promotion: &pipeline.Promotion{From: "dev"}}
	n := func(number, revision int) pipeline.ReleaseNumber {
		return pipeline.ReleaseNumber{Number: number, Revision: revision}
	}
	waiting := &Desired{Release: pipeline.Release{Number: 42, Revision: 1}}
	for _, test := range []struct {
		name    string
		desired *Desired
		release pipeline.ReleaseNumber
		exact   bool
		want    string // what is said against it
		next    string
	}{
		{"the one that waits", waiting, n(42, 1), true, "", ""},
		{"without a revision", waiting, n(42, 0), false, "", ""},
		{"another revision", waiting, n(42, 2), true, "release 42.2 does not wait for prod: what would enter from dev is release 42.1", "dray approve prod 42.1"},
		{"another release", waiting, n(41, 0), false, "release 41 does not wait for prod", "dray approve prod 42.1"},
		{"none waits", &Desired{Gate: &Refusal{Reasons: []string{"dev runs nothing"}, Next: "dray deploy dev"}}, n(42, 0), false, "nothing waits for prod: dev runs nothing", "dray deploy dev"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.desired.Approvable(env, test.release, test.exact)
			hint := pipeline.HintOf(err)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) || hint.Next != test.next {
				t.Errorf("got %v, next %q", err, hint.Next)
			}
			if err != nil && hint.Class != pipeline.Refused {
				t.Errorf("it is not refused, but of class %d", hint.Class)
			}
		})
	}
}
