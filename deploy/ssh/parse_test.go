package ssh

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dray/deploy/bundle"
	"dray/targets/api"
	"dray/targets/api/link"
)

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("KEYS", "/keys")
	if err := os.MkdirAll(dir+"/.ssh/config.d", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/.ssh/config.d/work", "Host p* # all of them\n  User deploy\n  IdentityFile ~/.ssh/work\nHost q\n  User q\n")
	write(t, dir+"/.ssh/config", `
# first
Host p1
  HostName %h.example.com
  Include config.d/*
  Port 2222
Match host p1,p2 exec "true"
  User never
Match originalhost "p2"
  HostName=two.example.com
Match user nosuch
  HostName never.example.com
Host *.internal !public.internal
  ProxyJump bastion
Host *
  User anyone
  IdentityFile "${KEYS}/%r@%h"
  UserKnownHostsFile ~/.ssh/known "/with space/known"
  ConnectTimeout 3
`)
	config, err := openConfig(dir+"/.ssh/config", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ address, login, jump string }{
		{"p1", "deploy@p1.example.com:2222", ""},
		{"ssh://mira@p1", "mira@p1.example.com:2222", ""},
		{"ssh://p1:22", "deploy@p1.example.com", ""},
		{"p2", "never@two.example.com", ""},
		{"a.internal", "anyone@a.internal", "bastion"},
		{"public.internal", "anyone@public.internal", ""},
		{"q", "anyone@q", ""}, // its block was included within that of p1
		{"ssh://[::1]:7", "anyone@[::1]:7", ""},
		{"::1", "anyone@::1", ""},
	} {
		e, err := resolve(t.Context(), x.address, config, &Options{})
		if err != nil {
			t.Errorf("%s: %v", x.address, err)
			continue
		}
		if e.login() != x.login || e.jump != x.jump {
			t.Errorf("%s: %s via %q, want %s via %q", x.address, e.login(), e.jump, x.login, x.jump)
		}
	}
	e, err := resolve(t.Context(), "p1", config, &Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{dir + "/.ssh/work", "/keys/deploy@p1.example.com"}; !slices.Equal(e.identities, want) {
		t.Errorf("identities %q, want %q", e.identities, want)
	}
	if want := []string{dir + "/.ssh/known", "/with space/known"}; !slices.Equal(e.known[:2], want) {
		t.Errorf("known hosts %q, want %q", e.known, want)
	}
	if e.timeout.Seconds() != 3 {
		t.Errorf("timeout %s", e.timeout)
	}
}

func TestSplitAddress(t *testing.T) {
	for address, want := range map[string]string{
		"ssh://deploy@p1.example.com:2222/": "deploy p1.example.com 2222",
		"deploy@p1":                         "deploy p1 ",
		"p1:22":                             " p1 22",
		"ssh://a%40b@p1":                    "a@b p1 ",
		"ssh://deploy:secret@p1":            "deploy p1 ",
		"[fe80::1]:22":                      " fe80::1 22",
		"-oProxyCommand=x":                  "error",
		"p1;reboot":                         " p1;reboot ",
		"p1 p2":                             "error",
		"tcp://p1":                          "error",
		"ssh://p1:x":                        "error",
	} {
		login, host, port, err := splitAddress(address)
		got := login + " " + host + " " + port
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func TestKnownHostPatterns(t *testing.T) {
	for _, x := range []struct {
		patterns, name string
		want           bool
	}{
		{"p1", "p1", true}, {"P1", "p1", true}, {"p1", "p2", false},
		{"*.example.com", "a.example.com", true}, {"*.example.com,!a.example.com", "a.example.com", false},
		{"!a.example.com,*.example.com", "a.example.com", false}, {"p?", "p1", true},
		{"[p1]:2222", "[p1]:2222", true}, {"[p1]:2222", "p1", false}, {"[*.example.com]:22*", "[a.example.com]:2222", true},
		{"|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=", "192.168.1.61", true}, // from sshd(8)'s own tests of the format
		{"|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=", "192.168.1.62", false},
		{"|1|broken", "p1", false},
	} {
		k := knownKey{patterns: strings.Split(x.patterns, ",")}
		if got := k.matches(x.name); got != x.want {
			t.Errorf("%s matches %s: %v", x.patterns, x.name, got)
		}
	}
}

func TestDecide(t *testing.T) {
	ours := &bundle.Bundle{Digest: "sha256:ours", Manifest: bundle.Manifest{Version: "1.2.0", API: api.Version}}
	for _, x := range []struct {
		name string
		h    link.Hello
		ours *bundle.Bundle
		want decision
	}{
		{"the same", link.Hello{Bundle: "sha256:ours", Version: "1.2.0", API: 1}, ours, keepTheirs},
		{"older", link.Hello{Bundle: "x", Version: "1.1.9", API: 1}, ours, replaceTheirs},
		{"newer", link.Hello{Bundle: "x", Version: "1.10.0", API: 1}, ours, keepTheirs},
		{"newer, but a development build", link.Hello{Bundle: "x", Version: "1.10.0-dev", API: 1}, ours, replaceTheirs},
		{"the same version, other bytes", link.Hello{Bundle: "x", Version: "1.2.0", API: 1}, ours, replaceTheirs},
		{"no version", link.Hello{Bundle: "", Version: "dev", API: 1}, ours, replaceTheirs},
		{"newer API", link.Hello{Bundle: "x", Version: "2.0.0", API: 2}, ours, impossible},
		{"older API", link.Hello{Bundle: "x", Version: "9.0.0", API: 0}, ours, replaceTheirs},
		{"no bundle here", link.Hello{Bundle: "x", Version: "0.1.0", API: 1}, nil, keepTheirs},
		{"no bundle here, other API", link.Hello{Bundle: "x", Version: "0.1.0", API: 2}, nil, impossible},
	} {
		if got := decide(x.h, x.ours, false); got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
		if decide(x.h, x.ours, true) == replaceTheirs {
			t.Errorf("%s: a look replaces it", x.name)
		}
	}
}

func TestFacts(t *testing.T) {
	good := "os=Linux\narch=aarch64\nkernel=6.1.0-30-arm64\nuser=deploy\nroot=yes\nmissing=\nfree=1000000"
	if f := parseFacts(strings.Split(good, "\n")); f.arch != "arm64" || f.check("p1") != nil {
		t.Errorf("%+v: %v", f, f.check("p1"))
	}
	for change, kind := range map[string]string{
		"os=Darwin": SetupSystem, "arch=riscv64": SetupSystem, "kernel=4.19.0-27-amd64": SetupSystem,
		"root=no": SetupRoot, "missing= gzip tar": SetupTools, "free=1000": SetupSpace,
	} {
		f := parseFacts(strings.Split(good+"\n"+change, "\n"))
		var fault *SetupError
		if !errors.As(f.check("p1"), &fault) || fault.Kind != kind || fault.Next == "" {
			t.Errorf("%s: %v", change, f.check("p1"))
		}
	}
}

// TestScriptsAreOneWord keeps the scripts safe for any login shell.
func TestScriptsAreOneWord(t *testing.T) {
	for name, script := range map[string]string{"connect": connectScript, "receive": receiveScript} {
		if strings.ContainsAny(script, "'\\!\n\r`") {
			t.Errorf("%s: a quote, a backslash, an exclamation mark or a line end", name)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("Host p1\n HostName x\nMatch exec \"y\"\n User z\n", "p1")
	f.Add("Host=\"*\"\n\tIdentityFile = \"a b\" # c\r\nMatch\nHost !\n", "ssh://a@b:1")
	f.Fuzz(func(t *testing.T, text, address string) {
		if strings.Contains(strings.ToLower(text), "include") {
			return // would read this machine's files
		}
		if strings.Contains(strings.ToLower(text), "exec") {
			return // would run it
		}
		path := filepath.Join(t.TempDir(), "config")
		write(t, path, text)
		config := &clientConfig{files: []configFile{{path: path}}}
		if e, err := resolve(t.Context(), address, config, &Options{}); err == nil && e.host == "" {
			t.Errorf("no host in %q", address)
		}
	})
}

func FuzzKnownHosts(f *testing.F) {
	f.Add([]byte("p1,[p2]:22 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqgVyIYzwdGVSJZ8Ng28Wv9D3kc7hnLH5WPbFjNVLYA x\n"), "p1")
	f.Add([]byte("@revoked |1|a|b ssh-rsa x"), "[p]:1")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		for _, k := range parseKnownHosts(text, "known_hosts") {
			k.matches(name)
			if k.key == nil || k.line < 1 || k.line > bytes.Count(text, []byte("\n"))+1 {
				t.Errorf("%+v", k)
			}
		}
	})
}

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
	if _, err := io.ReadAll(p); err == nil || len(p.banner.String()) > tailSize {
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

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
