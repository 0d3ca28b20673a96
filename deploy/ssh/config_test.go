//go:build linux

package ssh

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// configurations are resolved by ssh -G and by dray's own reader; both must
// say the same.
var configurations = []struct {
	name, text string
	addresses  string // p1 when empty
}{
	{"nothing", "", "p1 mira@p1 p1:77 ssh://[::1]:7 P1"},
	{"host patterns", "Host p? !p2\n User one\nHost p2 *.internal\n User two\nHost P1\n User capital\n", "p1 p2 p3 a.internal P1"},
	{"first value", "User a\nUser b\nPort 7\nHost *\n Port 8\n HostName h\n", "p1 x@p1:9"},
	{"equals and quotes", "Host=p1\n\tUser = \"mira\"\n Port=77 # comment\n HostKeyAlias 'a b'\n", ""},
	{"crlf", "Host p1\r\n User mira\r\n", ""},
	{"host name", "Host p1\n HostName %h.Example.com\n IdentityFile ~/.ssh/%h-%n-%p-%r-%u\nMatch host p1.Example.com\n User given\nMatch host p1\n User alias\n", ""},
	{"match user", "Match user deploy\n Port 71\nHost p1\n User deploy\nMatch user deploy\n Port 72\n", "p1 deploy@p1 mira@p1"},
	{"match localuser", "Match localuser root\n User local\nMatch localuser other\n Port 7\n", ""},
	{"match originalhost", "Host p1\n HostName x\nMatch originalhost p1,p2\n User original\nMatch originalhost *,!p1\n Port 7\n", "p1 p2 p3"},
	{"match exec", "Match exec \"true\"\n User yes\nMatch exec \"false\"\n Port 7\nMatch exec \"test %h-%n-%p-%r = p1-p1-22-yes\"\n HostKeyAlias tokens\n", ""},
	{"match not", "Match !host p1\n User other\nMatch !user root originalhost p1\n Port 7\nMatch !exec \"false\"\n HostKeyAlias not\n", "p1 p2 mira@p1"},
	{"match several", "Match originalhost p1 user root exec true\n Port 71\nMatch host p2 user root exec false\n Port 72\n", "p1 p2"},
	{"match all", "Match all\n User everybody\nHost p2\n Port 1\nMatch all\n Port 2\n", "p1 p2"},
	{"match final", "Host p1\n HostName deep.internal\nMatch final host *.internal\n User inside\n IdentityFile ~/.ssh/inside\nHost deep.internal\n Port 99\nHost *\n IdentityFile ~/.ssh/all\n", "p1 p2"},
	{"match canonical", "Match canonical all\n User never\nMatch !final all\n Port 77\n", ""},
	{"include", "Include DIR/include/*\nHost p1\n Include DIR/inside\n Port 7\nHost p2\n Include DIR/inside\n User two\n", "p1 p2 q"},
	{"identities", "Host p1\n IdentityFile ~/.ssh/one\n IdentityFile \"DIR/my keys/%r\"\nIdentityFile ~/.ssh/one\nHost *\n IdentityFile %d/.ssh/two\n CertificateFile ~/c-cert.pub\n IdentitiesOnly yes\n IdentityAgent DIR/agent-%u\n", "p1 mira@p1"},
	{"identity none", "IdentityFile none\nIdentityAgent none\n", ""},
	{"agent by variable", "IdentityAgent $DRAY_TEST_AGENT\n", ""},
	{"variables", "IdentityFile ${DRAY_TEST_AGENT}/%h\nUserKnownHostsFile ${DRAY_TEST_AGENT}/k\n", ""},
	{"known hosts", "UserKnownHostsFile ~/.ssh/known-%h \"DIR/with space\"\nGlobalKnownHostsFile /g1 /g2\n", ""},
	{"known hosts none", "UserKnownHostsFile none\nGlobalKnownHostsFile none\n", ""},
	{"known hosts command", "KnownHostsCommand /bin/cat \"DIR/x y\" %H\nRevokedHostKeys DIR/revoked\n", ""},
	{"jump", "Host p1\n ProxyJump %r@bastion-%h,b2:77\n User mira\n", "p1 x@p1"},
	{"jump none", "Host p1\n ProxyJump none\nHost *\n ProxyJump bastion\n", "p1 p2"},
	{"jump before command", "ProxyJump bastion\nProxyCommand nc %h %p\n", ""},
	{"command before jump", "ProxyCommand nc   %h \"a b\" %p # no comment\nProxyJump bastion\n", ""},
	{"no jump, then a command", "ProxyJump none\nProxyCommand nc %h %p\n", ""},
	{"no command, then a jump", "ProxyCommand none\nProxyJump bastion\n", ""},
	{"network", "AddressFamily inet6\nBindAddress 127.0.0.1\nBindInterface lo\nConnectionAttempts 3\nConnectTimeout 7\nServerAliveInterval 9\nServerAliveCountMax 5\n", ""},
	{"times", "ConnectTimeout 1m30s\nServerAliveInterval 2m\n", ""},
	{"algorithms", "Ciphers aes256-ctr,aes128-ctr\nKexAlgorithms curve25519-sha256\nMACs hmac-sha2-512\nHostKeyAlgorithms rsa-sha2-512,ssh-ed25519\nPubkeyAcceptedKeyTypes ssh-ed25519\n", ""},
	{"unused", "ControlMaster auto\nControlPath ~/.ssh/%C\nPKCS11Provider /usr/lib/p11.so\nForwardAgent yes\nSendEnv LANG\nStrictHostKeyChecking no\nCompression yes\nRequestTTY no\n", ""},
}

func TestConfigAsSSHReadsIt(t *testing.T) {
	program := realSSH(t)
	t.Setenv("DRAY_TEST_AGENT", "/run/agent-${DRAY_TEST_AGENT}")
	t.Setenv("SHELL", "/bin/sh")
	dir := t.TempDir()
	for path, text := range map[string]string{
		"include/1": "Host p*\n IdentityFile DIR/1\n", "include/2": "Host q\n User q\n",
		"inside": "User inside\nHost q\n User never\nHost *\n HostKeyAlias inside\n", "with space": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, path), strings.ReplaceAll(text, "DIR", dir))
	}
	for _, x := range configurations {
		t.Run(x.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config")
			write(t, path, strings.ReplaceAll(x.text, "DIR", dir))
			for _, address := range strings.Fields(cmp.Or(x.addresses, "p1")) {
				theirs, err := resolveWith(t, path, program, address)
				ours, ownErr := resolveWith(t, path, nil, address)
				if err != nil || ownErr != nil {
					t.Fatalf("%s: ssh -G: %v; read by dray: %v", address, err, ownErr)
				}
				if !reflect.DeepEqual(theirs, ours) {
					t.Errorf("%s:\nssh -G:  %+v\nby dray: %+v", address, theirs, ours)
				}
			}
		})
	}
}

// TestConfigIsRefusedAsSSHDoes has what is no configuration.
func TestConfigIsRefusedAsSSHDoes(t *testing.T) {
	program := realSSH(t)
	for name, text := range map[string]string{
		"criterion": "Match bogus x\n User y\n", "no criterion's value": "Match user\n",
		"open quote": "User \"mira\n", "no value": "Host p1\n User\n", "circle of includes": "Include CONFIG\n",
		"variable": "IdentityFile ${DRAY_TEST_UNSET}\n", "token": "IdentityFile %Q\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config")
			write(t, path, strings.ReplaceAll(text, "CONFIG", path))
			for by, program := range map[string]*sshProgram{"ssh -G": program, "dray": nil} {
				if _, err := resolveWith(t, path, program, "p1"); err == nil {
					t.Errorf("%s takes it", by)
				}
			}
		})
	}
}

// TestAlgorithmChanges compares lists that change the standard ones, which
// ssh and dray have in different orders.
func TestAlgorithmChanges(t *testing.T) {
	program := realSSH(t)
	path := filepath.Join(t.TempDir(), "config")
	for _, x := range []struct{ text, first, has, lacks string }{
		{"Ciphers +aes128-cbc\n", "", "aes128-cbc", ""},
		{"Ciphers -aes*-ctr\n", "", "aes128-gcm@openssh.com", "aes128-ctr"},
		{"Ciphers ^aes256-ctr\n", "aes256-ctr", "aes128-gcm@openssh.com", ""},
	} {
		write(t, path, x.text)
		for by, program := range map[string]*sshProgram{"ssh -G": program, "dray": nil} {
			e, err := resolveWith(t, path, program, "p1")
			if err != nil {
				t.Fatal(err)
			}
			list := e.algorithms.Ciphers
			if x.first != "" && list[0] != x.first || !slices.Contains(list, x.has) || slices.Contains(list, x.lacks) {
				t.Errorf("%s by %s: %q", x.text, by, list)
			}
		}
	}
	write(t, path, "Ciphers bogus@example.com\n")
	if _, err := resolveWith(t, path, nil, "p1"); err == nil {
		t.Error("a list of which nothing is known is taken for the standard one")
	}
}

// TestConfigNewerThanSSH has criteria that the ssh of this machine may be too
// old for.
func TestConfigNewerThanSSH(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, "Host p1\n Tag blue\nMatch tagged blue,red localnetwork 127.0.0.0/8\n User tagged\nMatch host=p1\n Port 7\n")
	if e, err := resolveWith(t, path, nil, "p1"); err != nil || e.login() != "tagged@p1:7" {
		t.Errorf("%+v %v", e, err)
	}
	if e, err := resolveWith(t, path, nil, "p2"); err != nil || e.user == "tagged" {
		t.Errorf("%+v %v", e, err)
	}
}

func TestIgnoredSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, "PKCS11Provider /p\nControlPath /c\nForwardAgent yes\nCompression no\nUser x\n")
	for by, program := range map[string]*sshProgram{"ssh -G": realSSH(t), "dray": nil} {
		e, err := resolveWith(t, path, program, "p1")
		if want := []string{"ControlPath", "PKCS11Provider"}; err != nil || !slices.Equal(e.ignored, want) {
			t.Errorf("by %s: %q %v, want %q", by, e.ignored, err, want)
		}
	}
}

// TestVariablesEnd has a variable that names itself.
func TestVariablesEnd(t *testing.T) {
	t.Setenv("A", "${A}")
	if got, err := expandTokens("x/${A}", nil, true); err != nil || got != "x/${A}" {
		t.Errorf("%q %v", got, err)
	}
}

func realSSH(t testing.TB) *sshProgram {
	t.Helper()
	path, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	return &sshProgram{path: path}
}

func resolveWith(t testing.TB, path string, program *sshProgram, address string) (*endpoint, error) {
	t.Helper()
	config, err := openConfig(path, program)
	if err != nil {
		return nil, err
	}
	return resolve(t.Context(), address, config, &Options{})
}
