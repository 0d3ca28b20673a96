package shell

import (
	"runtime"
	"strings"
	"testing"
)

func TestCommandKeepsQuotes(t *testing.T) {
	out, err := Command(t.Context(), "", `echo "a  b" 'c'`).Output()
	want := "a  b c"
	if runtime.GOOS == "windows" {
		want = `"a  b" 'c'`
	}
	if got := strings.TrimSpace(string(out)); err != nil || got != want {
		t.Errorf("%q %v, want %q", got, err, want)
	}
}

func TestCommandLineForWindows(t *testing.T) {
	line := `"C:\Program Files\vault.exe" read "a b"`
	if got, want := commandLine(line), `cmd /d /s /c ""C:\Program Files\vault.exe" read "a b""`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
