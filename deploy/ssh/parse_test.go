package ssh

import (
	"bytes"
	"errors"
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

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
