package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

func TestValueNeverPrintsItself(t *testing.T) {
	v := NewValue("hunter22")
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v, "p", &v, "in", map[string]Value{"a": v})
	marshalled, err := json.Marshal(map[string]any{"v": v, "list": []Value{v}})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%s %v %+v %#v %q %x", v, v, &v, v, v, v) + log.String() + string(marshalled)
	if strings.Contains(all, "hunter22") || strings.Contains(all, hex.EncodeToString([]byte("hunter22"))) {
		t.Errorf("the value shows in %s", all)
	}
}

func TestRedactorFindsForms(t *testing.T) {
	const value = "p&ss \"w\nrd\"/öx"
	r := NewRedactor(NewValue(value), NewValue("abc"), NewValue(""))
	quoted, _ := json.Marshal(value)
	for name, text := range map[string]string{
		"itself":         value,
		"JSON":           string(quoted[1 : len(quoted)-1]),
		"query":          url.QueryEscape(value),
		"path":           url.PathEscape(value),
		"base64":         base64.StdEncoding.EncodeToString([]byte(value)),
		"raw base64 URL": base64.RawURLEncoding.EncodeToString([]byte(value)),
		"hex":            hex.EncodeToString([]byte(value)),
	} {
		if got := r.String("<" + text + "> abc"); got != "<[secret]> abc" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	for _, user := range []string{"a", "ab", "abc"} {
		header := base64.StdEncoding.EncodeToString([]byte(user + ":" + value + ":x"))
		if got := r.String(header); !strings.Contains(got, "[secret]") || len(got) > 8+8+8 {
			t.Errorf("in a header of %s: got %q of %q", user, got, header)
		}
	}
}

func TestRedactorFindsLines(t *testing.T) {
	r := NewRedactor(NewValue("-----BEGIN KEY-----\nAAAAB3NzaC1yc2E\nxy\n-----END KEY-----\n"))
	if got := r.String("key: AAAAB3NzaC1yc2E, xy"); got != "key: [secret], xy" {
		t.Errorf("got %q", got)
	}
}

func TestRedactorPrefersTheLongest(t *testing.T) {
	r := NewRedactor(NewValue("secret"), NewValue("secretary"))
	if got := r.String("secretary secret"); got != "[secret] [secret]" {
		t.Errorf("got %q", got)
	}
}

func TestWriterHoldsBackOnlyWhatMayBeAValue(t *testing.T) {
	var out bytes.Buffer
	w := NewRedactor(NewValue("hunter22")).Writer(&out)
	steps := []struct{ write, seen string }{
		{"a line\n", "a line\n"},
		{"pass hun", "a line\npass "},
		{"ter22!", "a line\npass [secret]!"},
		{" hunter", "a line\npass [secret]! "},
	}
	for _, s := range steps {
		if _, err := w.Write([]byte(s.write)); err != nil {
			t.Fatal(err)
		}
		if out.String() != s.seen {
			t.Errorf("after %q: %q, want %q", s.write, out.String(), s.seen)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "a line\npass [secret]! hunter"; out.String() != want {
		t.Errorf("at the end: %q, want %q", out.String(), want)
	}
}

// FuzzWriter holds that cutting the text anywhere changes nothing.
func FuzzWriter(f *testing.F) {
	f.Add("hunter22", "is hunter22 not hunter2", uint8(3))
	f.Add("aaaa", "aaaaaaaaa", uint8(1))
	f.Add("ab\ncdefghijk", "ab\ncdefghij cdefghijk", uint8(2))
	f.Fuzz(func(t *testing.T, value, text string, chunk uint8) {
		r := NewRedactor(NewValue(value), NewValue(value+"x"))
		var out bytes.Buffer
		w := r.Writer(&out)
		for rest := text; rest != ""; {
			n := min(len(rest), int(chunk)+1)
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != r.String(text) {
			t.Errorf("in chunks of %d: %q, whole: %q", int(chunk)+1, out.String(), r.String(text))
		}
		if len(value) >= minRedacted && !strings.Contains(value, "[") && !strings.Contains(value, "]") && strings.Contains(out.String(), value) && !strings.Contains(redacted, value) {
			t.Errorf("%q shows in %q", value, out.String())
		}
	})
}
