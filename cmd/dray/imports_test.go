package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImportDirection holds DESIGN's drawing over the whole dependency graph:
// each prefix may not reach the others, not even through somebody else.
func TestImportDirection(t *testing.T) {
	tests := []struct {
		of     string   // packages
		not    []string // prefixes that they must not link
		except []string
	}{
		{"dray/pipeline dray/pipeline/event dray/pipeline/secret", []string{"dray/builder", "dray/deploy", "dray/targets", "dray/cmd", "dray/pipeline/config", "dray/pipeline/run"}, nil},
		{"dray/pipeline/...", []string{"dray/builder", "dray/deploy", "dray/targets", "dray/cmd", "dray/testenv"}, nil},
		{"dray/builder/...", []string{"dray/deploy", "dray/targets", "dray/cmd", "dray/testenv", "dray/pipeline/config", "dray/pipeline/run"}, nil},
		{"dray/deploy/...", []string{"dray/builder", "dray/cmd", "dray/testenv", "dray/targets", "dray/pipeline/config", "dray/pipeline/run"}, []string{"dray/targets/api"}},
		{"dray/targets/...", []string{"dray/builder", "dray/deploy", "dray/cmd", "dray/testenv", "dray/pipeline/config", "dray/pipeline/run"}, []string{"dray/builder/registry"}},
		{"dray/cmd/drayd", []string{"github.com/moby/buildkit", "github.com/hashicorp/hcl", "github.com/spf13/cobra", "github.com/spf13/viper", "k8s.io"}, nil},
		{"dray/cmd/dray-oci", []string{"github.com/moby/buildkit", "github.com/hashicorp/hcl", "github.com/spf13", "github.com/containerd/containerd", "net/http", "dray/targets", "dray/pipeline"}, []string{"dray/targets/runtime/shim", "dray/targets/runtime/cgroup", "dray/targets/logs"}},
	}
	for _, test := range tests {
		t.Run(test.of, func(t *testing.T) {
			deps := goList(t, "-deps", strings.Fields(test.of)...)
			for _, dep := range deps {
				for _, not := range test.not {
					if under(dep, not) && !slices.ContainsFunc(test.except, func(e string) bool { return under(dep, e) }) {
						t.Errorf("%s links %s", test.of, dep)
					}
				}
			}
		})
	}
}

// TestOnlyBuildkitImportsBuildKit keeps the largest dependency behind one
// door.
func TestOnlyBuildkitImportsBuildKit(t *testing.T) {
	for _, line := range goList(t, `-f={{.ImportPath}} {{join .Imports " "}}`, "dray/...") {
		pkg, imports, _ := strings.Cut(line, " ")
		if strings.Contains(imports, "github.com/moby/buildkit") && !under(pkg, "dray/builder/buildkit") {
			t.Errorf("%s imports BuildKit; only builder/buildkit may", pkg)
		}
	}
}

// TestReleaseHasNoFailpoints: what stops an agent on a file's word is in the
// programs of make build, and in none that people are given.
func TestReleaseHasNoFailpoints(t *testing.T) {
	files := goList(t, `-f={{join .GoFiles "\n"}}`, "dray/cmd/drayd")
	if slices.Contains(files, "failpoint.go") || !slices.Contains(files, "nofailpoint.go") {
		t.Errorf("drayd without tags is made of %v", files)
	}
	script, err := os.ReadFile("../../.ci/release")
	if err != nil || strings.Contains(string(script), "failpoint") || !strings.Contains(string(script), "./cmd/drayd") {
		t.Errorf(".ci/release builds drayd with failpoints, or not at all (%v)", err)
	}
}

func goList(t *testing.T, flag string, packages ...string) []string {
	t.Helper()
	args := append([]string{"list", flag}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1") // dray-oci is nothing without it
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func under(pkg, prefix string) bool { return pkg == prefix || strings.HasPrefix(pkg, prefix+"/") }
