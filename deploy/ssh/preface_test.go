package ssh

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"dray/pipeline/output"
	"dray/targets/api/link"
)

// TestPrefaceInNoise finds the preface in whatever a shell prints before it.
func TestPrefaceInNoise(t *testing.T) {
	for name, banner := range map[string]string{
		"nothing": "", "lines": "Welcome\n\nto p1\r\n", "a title": "\x1b]0;deploy@p1\x07", "a prompt": "Last login: today\n$ ",
		"a long line": strings.Repeat("x", 300<<10), "bytes": "\x00\xff\x1b[2J", "almost the preface": "dray-connect\ndray-connect 1 \n",
	} {
		p := newPrefaceReader(strings.NewReader(banner + link.Preface + "\nrest"))
		rest, err := io.ReadAll(p)
		if err != nil || string(rest) != "rest" {
			t.Errorf("%s: %q %v", name, rest, err)
		}
		p = newPrefaceReader(strings.NewReader(banner + absentLine + "\nos=Linux\n" + endLine + "\n"))
		if _, err := io.ReadAll(p); !errors.Is(err, errNoDrayd) || p.absent.os != "Linux" {
			t.Errorf("%s: facts %+v %v", name, p.absent, err)
		}
	}
	p := newPrefaceReader(strings.NewReader(strings.Repeat("x", mostBanner+1)))
	if _, err := io.ReadAll(p); err == nil || len(p.banner.String()) > output.Kept {
		t.Errorf("an endless banner: %v", err)
	}
}

func TestScreen(t *testing.T) {
	got := screen(strings.Repeat("a\n", 100) + "\x1b]0;title\x07last\n\n" + strings.Repeat("z", 1000))
	lines := strings.Split(got, "\n")
	if len(lines) > mostShownLines+1 || strings.ContainsAny(got, "\x1b\x07") || len(lines[len(lines)-1]) > mostShownColumns+3 || lines[len(lines)-2] != "]0;titlelast" {
		t.Errorf("%q", got)
	}
}

func FuzzPreface(f *testing.F) {
	f.Add([]byte("Welcome\n" + link.Preface + "\nrest"))
	f.Add([]byte("\x1b]0;p1\x07" + link.Preface + "\nrest"))
	f.Add([]byte(absentLine + "\nos=Linux\nfree=x\n" + endLine + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p := newPrefaceReader(bytes.NewReader(text))
		n, err := p.Read(make([]byte, 16))
		if p.greeted == (p.absent != nil) && err == nil {
			t.Errorf("greeted %v, absent %v, %d bytes", p.greeted, p.absent, n)
		}
		if p.absent != nil {
			_ = p.absent.check("p1")
		}
	})
}
