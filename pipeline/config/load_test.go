package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write golden files anew")

// testOptions load a file as every test of the language does.
func testOptions(path string) Options {
	return Options{
		File:    path,
		Environ: []string{"HOME=/home/ann", "DRAY_VAR_from_env=e", "DRAY_VAR_unknown=x"},
		Git: func() (Git, error) {
			return Git{SHA: "3f9c2e1aa0b4c5d6e7f8091a2b3c4d5e6f708192", Branch: "main", Time: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}, nil
		},
	}
}

// TestValidFiles reads testdata/valid/NAME.hcl, or NAME.hcl.json, or all
// files of the folder NAME, and compares with NAME.golden.json.
func TestValidFiles(t *testing.T) {
	entries, err := os.ReadDir("testdata/valid")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, ".golden.json") || !entry.IsDir() && !strings.Contains(name, ".hcl") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata/valid", name)
			opts := testOptions(path)
			if entry.IsDir() {
				opts.File, opts.Dir = "", path
			}
			loaded, diags := Load(opts)
			if len(diags) > 0 {
				t.Fatalf("findings: %v", render(t, diags))
			}
			got, err := json.MarshalIndent(loaded.Project, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(path, ".hcl")+".golden.json", append(got, '\n'))
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

func render(t *testing.T, diags Diagnostics) string {
	t.Helper()
	var b strings.Builder
	if err := diags.Render(&b, 100, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var mark = regexp.MustCompile(`# (ERROR|WARNING): (.*)$`)

// TestInvalidFiles reads testdata/invalid/NAME.hcl, where each line with a
// fault carries "# ERROR: summary" (several are separated by " | "); a line that
// begins with "##" has those that are about no line. The whole text that a
// person sees is NAME.txt.
func TestInvalidFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, diags := Load(testOptions(path))
			want, got := expected(string(src)), []string{}
			for _, d := range diags {
				line := 0
				if d.Range != nil {
					line = d.Range.Start.Line
				}
				got = append(got, finding(line, string(d.Severity), d.Summary))
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
			golden(t, strings.TrimSuffix(path, ".hcl")+".txt", []byte(render(t, diags)))
		})
	}
}

func expected(src string) []string {
	out := []string{}
	for i, line := range strings.Split(src, "\n") {
		m := mark.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		number := i + 1
		if strings.HasPrefix(line, "##") {
			number = 0
		}
		for one := range strings.SplitSeq(m[2], " | ") {
			out = append(out, finding(number, strings.ToLower(m[1]), one))
		}
	}
	slices.Sort(out)
	return out
}

func finding(line int, severity, summary string) string {
	return fmt.Sprintf("%4d %s: %s", line, severity, summary)
}

func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.hcl", "testdata/valid/*/*.hcl"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			src, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src, false)
		}
	}
	f.Add([]byte(`{"project": "a", "environment": {"dev": {"hosts": ["${host.local}"]}}}`), true)
	f.Fuzz(func(t *testing.T, src []byte, isJSON bool) {
		name := "fuzz/dray.hcl"
		if isJSON {
			name += ".json"
		}
		l := newLoader(testOptions(""))
		l.parseBytes(name, src)
		loaded, diags := l.finish([]string{name}, "fuzz")
		if (loaded == nil) != diags.HasErrors() {
			t.Errorf("loaded is %v with %v", loaded, diags)
		}
		if err := diags.Render(&strings.Builder{}, 80, true); err != nil {
			t.Error(err)
		}
		if loaded != nil {
			if _, err := json.Marshal(loaded.Project); err != nil {
				t.Error(err)
			}
		}
	})
}
