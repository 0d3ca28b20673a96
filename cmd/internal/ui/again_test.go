package ui

import (
	"strings"
	"testing"

	"dray/pipeline"
)

func TestRetyped(t *testing.T) {
	line := []string{"/usr/bin/dray", "deploy", "prod", "--skip-host", "p2", "--var", "token=s3cret"}
	if got := strings.Join(append(Retyped(line, nil), "--continue"), " "); got != "dray deploy prod --skip-host p2 --var token=… --continue" {
		t.Errorf("got %s", got)
	}
}

func TestNextAfterMisspelling(t *testing.T) {
	e := &pipeline.UnknownError{Kind: "service", Name: "wbe", Declared: []string{"db", "web"}}
	line := []string{"dray", "run", "prod", "wbe", "-e", "KEY=s3cret", "--", "login", "s3cret"}
	if got := Corrected(line, e); got != "dray run prod web -e KEY=… -- …" {
		t.Errorf("got %s", got)
	}
}

// Who names the near one beside it meant another.
func TestNextAfterOneThatIsNotDeclared(t *testing.T) {
	e := &pipeline.UnknownError{Kind: "host", Name: "p9", Declared: []string{"p1", "p2"}}
	if got := Corrected([]string{"dray", "host", "check", "p1", "p9"}, e); got != "" {
		t.Errorf("got %s", got)
	}
	if got := Corrected([]string{"dray", "host", "check", "p9"}, e); got != "dray host check p1" {
		t.Errorf("got %s", got)
	}
}
