// Package ci tests what CI runs (.ci/run): that it tells a fault from a busy
// machine, and leaves no package out.
package ci

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeMake prints what the target of that name has in $OUTPUTS, whose first
// line is the exit code. No such file: nothing, and success.
const fakeMake = `#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
printf '%s\n' "$@" >>"$OUTPUTS/asked"
[ -e "$OUTPUTS/$1" ] || exit 0
tail -n +2 "$OUTPUTS/$1"
exit "$(head -n 1 "$OUTPUTS/$1")"
`

const fakeGo = "#!/bin/sh\nprintf '%s\\n' dray/a dray/b dray/c\n"

// ran is how .ci/run ended.
type ran struct {
	code  int
	lines []string
	asked string // what make was asked for, one word a line
}

// runCI runs .ci/run with a make that says what is in outputs, by target.
func runCI(t *testing.T, outputs map[string]string) ran {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"make": fakeMake, "go": fakeGo} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for target, text := range outputs {
		if err := os.WriteFile(filepath.Join(dir, target), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join("..", "..", ".ci", "run"))
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "OUTPUTS="+dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	return ran{cmd.ProcessState.ExitCode(), strings.Split(strings.TrimSpace(string(out)), "\n"), string(asked)}
}

const (
	passing = "0\nok  \tdray/a\t0.1s\nok  \tdray/b\t0.2s\n?   \tdray/c\t[no test files]\n"
	failing = "2\nok  \tdray/a\t0.1s\n--- FAIL: TestSlow (0.00s)\n    --- FAIL: TestSlow/part (0.00s)\n" +
		"FAIL\nFAIL\tdray/b\t0.2s\n?   \tdray/c\t[no test files]\nFAIL\n"
)

func TestRun(t *testing.T) {
	cases := map[string]struct {
		outputs map[string]string
		code    int
		last    string
		has     []string
		again   string // the packages that are tried once more
	}{
		"all pass": {map[string]string{"test": passing}, 0, "3 passed, 0 failed", nil, ""},
		"flaky": {
			map[string]string{"test": failing, "test-again": "0\nok  \tdray/b\t0.1s\n"}, 0, "3 passed, 0 failed",
			[]string{"Flaky, failed once and passed the second time:", "  dray/b: TestSlow, TestSlow/part"}, "PACKAGES=dray/b",
		},
		"fails twice": {
			map[string]string{"test": failing, "test-again": "2\n--- FAIL: TestSlow (0.00s)\nFAIL\nFAIL\tdray/b\t0.1s\n"}, 1, "2 passed, 1 failed",
			[]string{"Failed twice:", "  dray/b: TestSlow"}, "PACKAGES=dray/b",
		},
		"does not come to the second time": {
			map[string]string{"test": failing, "test-again": "2\nmake: *** [bin/dray] Error 1\n"}, 1, "2 passed, 1 failed",
			[]string{"Failed twice:", "  dray/b"}, "PACKAGES=dray/b",
		},
		"one flaky, one never tested": {
			map[string]string{"test": "2\nok  \tdray/a\t0.1s\nFAIL\tdray/b [build failed]\n", "test-again": "0\nok  \tdray/b\t0.1s\n"}, 1, "2 passed, 1 failed",
			[]string{"Never tested:", "  dray/c", "  dray/b"}, "PACKAGES=dray/b",
		},
		"something else fails": {
			map[string]string{"test": strings.Replace(passing, "0", "2", 1)}, 1, "2 passed, 1 failed",
			[]string{"make test failed beside the tests: see above."}, "",
		},
		"lint fails": {map[string]string{"lint": "1\nan unused name\n"}, 1, "an unused name", nil, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := runCI(t, c.outputs)
			if last := got.lines[len(got.lines)-1]; got.code != c.code || last != c.last {
				t.Errorf("exit %d, %q; want exit %d, %q", got.code, last, c.code, c.last)
			}
			for _, want := range c.has {
				if !slices.Contains(got.lines, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			if again := strings.Contains(got.asked, "test-again"); again != (c.again != "") || !strings.Contains(got.asked, c.again) {
				t.Errorf("it asked make for %q, want a second time of %q", got.asked, c.again)
			}
			if t.Failed() {
				t.Log(strings.Join(got.lines, "\n"))
			}
		})
	}
}
