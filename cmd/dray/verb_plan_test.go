package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dray/pipeline"
	"dray/pipeline/durable"
	"dray/pipeline/plan"
)

// TestReadPlan: a plan is of one environment of one project.
func TestReadPlan(t *testing.T) {
	content, err := plan.New(plan.Input{Desired: pipeline.Release{Project: "shop", Environment: "prod"}}).Save(plan.Made{}).Encode()
	path := filepath.Join(t.TempDir(), "prod.plan")
	if err == nil {
		err = durable.Write(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	if saved, err := readPlan(path, "shop", "prod"); err != nil || saved.Environment != "prod" {
		t.Errorf("reading it: %v", err)
	}
	for _, of := range [][2]string{{"shop", "test"}, {"blog", "prod"}} {
		if _, err := readPlan(path, of[0], of[1]); err == nil || !strings.Contains(err.Error(), "is a plan of prod in project shop, not of "+of[1]+" in "+of[0]) {
			t.Errorf("reading it for %v: %v", of, err)
		}
	}
}
