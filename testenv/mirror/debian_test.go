package mirror

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDebianMirrorIsApts(t *testing.T) {
	for text, want := range map[string]string{
		"deb http://w.example/debian bookworm main\n":                                                     "http://w.example/debian",
		"# old\ndeb [signed-by=/k arch=amd64] https://mirror.example/debian/ bookworm main\n":             "https://mirror.example/debian/",
		"deb http://x.example/debian-security bookworm main\ndeb http://y.example/debian bookworm main\n": "http://y.example/debian",
		"Types: deb\nURIs: http://z.example/debian\nSuites: bookworm\n":                                   "http://z.example/debian",
		"#deb http://no.example/debian bookworm main\n":                                                   "",
	} {
		etc := t.TempDir()
		if err := os.WriteFile(filepath.Join(etc, "sources.list"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := debianMirror(etc); got != want {
			t.Errorf("from %q one reads %q", text, got)
		}
	}
}

func TestSlim(t *testing.T) {
	for path, out := range map[string]bool{
		"usr/share/doc": false, "usr/share/doc/bash": true, "usr/bin/bash": false,
		"var/lib/dpkg/status-old": true, "var/lib/dpkg/status": false, "etc/resolv.conf": true, "dev/null": true,
	} {
		if notSlim(path) != out {
			t.Errorf("%s left out: %v", path, !out)
		}
	}
}
