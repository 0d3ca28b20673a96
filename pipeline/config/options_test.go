package config

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dray/pipeline"
)

// minimal is the smallest project; tests add to it.
const minimal = "project = \"shop\"\nenvironment \"dev\" { hosts = [host.local] }\n"

// write puts files into a new folder and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustLoad(t *testing.T, opts Options) *Loaded {
	t.Helper()
	loaded, diags := Load(opts)
	if len(diags) > 0 {
		t.Fatal(render(t, diags))
	}
	return loaded
}

func TestLoadLooksInFoldersAbove(t *testing.T) {
	dir := write(t, map[string]string{"dray.hcl": minimal, "a/b/x": ""})
	t.Chdir(filepath.Join(dir, "a", "b"))
	loaded := mustLoad(t, Options{})
	if want := filepath.Join("..", "..", "dray.hcl"); loaded.Files[0] != want {
		t.Errorf("file is %s, want %s", loaded.Files[0], want)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := filepath.EvalSymlinks(loaded.Project.Dir); err != nil || got != real {
		t.Errorf("folder is %s (%v), want %s", got, err, real)
	}
}

func TestLoadSaysThatNoFileIsThere(t *testing.T) {
	_, diags := Load(Options{Dir: t.TempDir()})
	if len(diags) != 1 || diags[0].Summary != "No dray.hcl" || !strings.Contains(diags[0].Detail, "dray init") {
		t.Errorf("got %v", diags)
	}
}

func TestDuplicatesNameBothFiles(t *testing.T) {
	dir := write(t, map[string]string{
		"dray.hcl":   minimal + "host \"a\" { address = \"ssh://a\" }\n",
		"b.dray.hcl": "project = \"other\"\nhost \"a\" { address = \"ssh://a\" }\n",
	})
	_, diags := Load(Options{Dir: dir})
	text := render(t, diags)
	for _, want := range []string{"b.dray.hcl:2,1-9: Duplicate host \"a\"", "dray.hcl:3 already", "b.dray.hcl:1,1-8: Duplicate project"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

const threeVariables = minimal + `
variable "a" { default = "default" }
variable "n" { default = 1 }
variable "l" {
  type    = list(string)
  default = []
}
target "t" { args = { A = var.a, N = var.n + 1, L = join("-", var.l) } }
`

func TestVariablesComeFromOutside(t *testing.T) {
	dir := write(t, map[string]string{
		"dray.hcl": threeVariables,
		"x.vars":   "a = \"file\"\nn = 2\n",
		"y.json":   `{"l": ["x", "y"], "n": 3}`,
	})
	file := func(name string) string { return filepath.Join(dir, name) }
	tests := []struct {
		name string
		opts Options
		want map[string]string
	}{
		{"defaults", Options{}, map[string]string{"A": "default", "N": "2", "L": ""}},
		{"environment", Options{Environ: []string{"DRAY_VAR_a=env", "DRAY_VAR_n=7", `DRAY_VAR_l=["p"]`, "DRAY_VAR_other=1"}}, map[string]string{"A": "env", "N": "8", "L": "p"}},
		{"the process's own, as in bake", Options{Environ: []string{"a=own", "n=4", "l=p, q", "b=unused"}}, map[string]string{"A": "own", "N": "5", "L": "p-q"}},
		{"an empty one too", Options{Environ: []string{"a=", "l="}}, map[string]string{"A": "", "N": "2", "L": ""}},
		{"those for dray win", Options{Environ: []string{"DRAY_VAR_a=dray", "a=own", "DRAY_VAR_l=x,y"}}, map[string]string{"A": "dray", "N": "2", "L": "x-y"}},
		{"files win", Options{Environ: []string{"DRAY_VAR_a=env"}, VarFiles: []string{file("x.vars"), file("y.json")}}, map[string]string{"A": "file", "N": "4", "L": "x-y"}},
		{"flags win", Options{VarFiles: []string{file("x.vars")}, Vars: map[string]string{"a": "flag", "l": `["q", "r"]`}}, map[string]string{"A": "flag", "N": "3", "L": "q-r"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.opts.Dir = dir
			if got := mustLoad(t, test.opts).Project.Targets["t"].Args; !maps.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// A secret with an id alone is a variable, or a file where there is only that.
func TestBuildSecretWithAnIDAlone(t *testing.T) {
	dir := write(t, map[string]string{
		"dray.hcl": minimal + `target "t" { secret = ["id=var", "id=both", "id=file", "id=none"] }` + "\n",
		"both":     "", "file": "",
	})
	loaded := mustLoad(t, Options{Dir: dir, Environ: []string{"var=1", "both=1"}})
	want := []pipeline.BuildSecret{{ID: "var", Env: "var"}, {ID: "both", Env: "both"}, {ID: "file", Src: "file"}, {ID: "none", Env: "none"}}
	if got := loaded.Project.Targets["t"].Secrets; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestValuesFromOutsideAreChecked(t *testing.T) {
	dir := write(t, map[string]string{"dray.hcl": threeVariables, "x.vars": "aa = 1\nl = \"\"\n"})
	_, diags := Load(Options{Dir: dir, Vars: map[string]string{"nn": "1"}, VarFiles: []string{filepath.Join(dir, "x.vars"), "missing.vars"}, Environ: []string{"DRAY_VAR_n=many"}})
	text := render(t, diags)
	for _, want := range []string{`No variable "aa"`, `No variable "nn"`, "Cannot read missing.vars", `Invalid value for variable "l"`, `Invalid value for variable "n"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestSensitiveVariables(t *testing.T) {
	src := minimal + `
variable "token" {
  type      = object({ a = string, b = number })
  sensitive = true
}
variable "plain" { default = "p" }
`
	dir := write(t, map[string]string{"dray.hcl": src})
	loaded := mustLoad(t, Options{Dir: dir, Vars: map[string]string{"token": `{ a = "hush", b = 1234 }`}})
	if loaded.Variables["token"] != "[secret]" || loaded.Variables["plain"] != `"p"` {
		t.Errorf("shown as %v", loaded.Variables)
	}
	var values []string
	for _, v := range loaded.Sensitive {
		values = append(values, v.Reveal())
	}
	if strings.Join(values, " ") != "hush 1234" {
		t.Errorf("got %v", values)
	}
}

func TestGitOutsideACheckout(t *testing.T) {
	for body, want := range map[string]string{
		`target "t" { args = { A = "x-${git.sha}" } }`:               "not a git checkout",
		`target "t" { args = { A = coalesce(git.branch, "none") } }`: "",
	} {
		_, diags := Load(Options{Dir: write(t, map[string]string{"dray.hcl": minimal + body})})
		if text := render(t, diags); want == "" && text != "" || !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("%s: got %s", body, text)
		}
	}
}

func TestGitIsAskedOnlyWhenNeeded(t *testing.T) {
	asked := 0
	git := func() (Git, error) {
		asked++
		return Git{}, errors.New("git is broken")
	}
	mustLoad(t, Options{Dir: write(t, map[string]string{"dray.hcl": minimal}), Git: git})
	if asked != 0 {
		t.Errorf("asked %d times without a reference", asked)
	}
	_, diags := Load(Options{Dir: write(t, map[string]string{"dray.hcl": minimal + "locals { a = git.dirty }"}), Git: git})
	if asked != 1 || !strings.Contains(render(t, diags), "Git is broken") {
		t.Errorf("asked %d times, got %s", asked, render(t, diags))
	}
}

func TestReadGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-11-22T10:00:00Z", "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	read := func() Git {
		t.Helper()
		g, err := ReadGit(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	if g := read(); g != (Git{}) {
		t.Errorf("outside a checkout: %+v", g)
	}
	run("init", "-q", "-b", "main")
	if g := read(); g != (Git{}) {
		t.Errorf("without a commit: %+v", g)
	}
	run("commit", "-q", "--allow-empty", "-m", "x")
	g := read()
	if len(g.SHA) != 40 || g.Branch != "main" || g.Dirty || g.Time.Format("2006-01-02T15:04:05Z07:00") != "2026-11-22T10:00:00Z" {
		t.Errorf("clean: %+v", g)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if !read().Dirty {
		t.Error("a file that is in no commit is not seen")
	}
	run("checkout", "-q", "--detach")
	if g := read(); g.Branch != "" || g.SHA == "" {
		t.Errorf("detached: %+v", g)
	}
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := ReadGit(cancelled, dir); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("cancelled: %v", err)
	}
}

// A release must not look as if it came from no checkout because git failed.
func TestReadGitTellsABrokenGitFromNone(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	for _, args := range [][]string{{"init", "-q"}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"}} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	t.Run("another owner", func(t *testing.T) {
		t.Setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
		_, err := ReadGit(t.Context(), dir)
		for _, want := range []string{"detected dubious ownership", "git config --global --add safe.directory " + dir} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in %v", want, err)
			}
		}
	})
	t.Run("no program", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if g, err := ReadGit(t.Context(), dir); err != nil || g != (Git{}) {
			t.Errorf("got %+v, %v", g, err)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(dir, ".git", "HEAD"), []byte("damaged"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadGit(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "git says: ") {
			t.Errorf("got %v", err)
		}
	})
}

func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/dray.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, path := range files {
		mustLoad(t, testOptions(path))
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, diags := Load(testOptions("testdata/valid/everything.hcl")); len(diags) > 0 {
			b.Fatal(diags)
		}
	}
}

func TestRenderJSON(t *testing.T) {
	_, diags := Load(Options{Dir: write(t, map[string]string{"dray.hcl": minimal + "prject = 1\n"})})
	var b strings.Builder
	if err := diags.RenderJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		V        int
		Type     string
		Severity string
		Summary  string
		Range    Range
		Source   []SourceLine
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.V != 1 || got.Type != "diagnostic" || got.Severity != "error" || got.Range.Start != (Point{3, 1}) || got.Range.End != (Point{3, 7}) || got.Source[0].Text != "prject = 1" {
		t.Errorf("got %+v of %s", got, b.String())
	}
}

func TestRenderFitsTheTerminal(t *testing.T) {
	d := Diagnostics{{
		Severity: Error, Summary: "Wide", Detail: strings.Repeat("some words ", 20) + strings.Repeat("x", 60),
		Range:  &Range{File: "f", Start: Point{1, 3}, End: Point{1, 5}},
		Source: []SourceLine{{1, "\tä日x"}},
	}}
	var b strings.Builder
	if err := d.Render(&b, 40, false); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(b.String(), "\n") {
		if len(line) > 40 && strings.Contains(line, " some ") {
			t.Errorf("%q is wider than 40", line)
		}
	}
	if !strings.Contains(b.String(), "│ \t ^^\n") {
		t.Errorf("carets are not under the text:\n%s", b.String())
	}
}
