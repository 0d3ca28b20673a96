package acceptance

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"dray/testenv"
	"dray/testenv/world"
)

// TestRoles deploys over a key whose forced command gives the role deploy:stage,
// through a line of sudoers that allows nothing else: stage gets its release, and
// everything of prod but a look is refused, as are what takes admin and a shell.
func TestRoles(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"t1", "p1"}})
	w.App(t, "stage: t1", "prod: p1")
	w.Dray(t, 0, "deploy", "stage")
	w.Dray(t, 0, "promote", "prod")
	for _, h := range w.Lab.Hosts() {
		force(t, h, "deploy:stage")
	}

	w.Dray(t, 0, "deploy", "stage", "--var", "version=2")
	serves(t, w, "t1", "2")
	w.Dray(t, 127, "exec", "stage", "web", "--", "/there-is-none") // the image has one program
	w.Dray(t, 0, "rollback", "stage")
	serves(t, w, "t1", "1")
	if s := w.Status(t)["prod"]; s.Release != 1 {
		t.Errorf("a look at prod: %+v", s)
	}

	says(t, w.Dray(t, 5, "promote", "prod"), "role deploy:stage", "--role deploy:prod")
	says(t, w.Dray(t, 5, "lock", "prod", "--reason", "x"), "--role deploy:prod")
	says(t, w.Dray(t, 5, "exec", "prod", "web", "--", "/app"), "role deploy:stage", "--role deploy:prod")
	says(t, w.Dray(t, 5, "down", "stage", "--yes"), "role deploy:stage", "--role admin")
	says(t, w.Dray(t, 5, "prune", "stage"), "--role admin")
	serves(t, w, "t1", "1")
	serves(t, w, "p1", "1")

	// Neither a shell nor an installation: sshd runs what it was told to.
	for _, command := range []string{"id", "sudo -n id", "sudo -n /var/lib/dray/bin/current/drayd install --digest sha256:0"} {
		shell := exec.CommandContext(t.Context(), "ssh", "-F", w.Lab.SSHConfig, "-l", testenv.User, "t1", command)
		if out, _ := shell.CombinedOutput(); strings.Contains(string(out), "uid=") || !strings.HasPrefix(string(out), "dray-connect") {
			t.Errorf("%s gave %q", command, out)
		}
	}

	public, err := os.ReadFile(w.Lab.KeyFile + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(public)
	if err != nil {
		t.Fatal(err)
	}
	lines := typed[seenRecord](t, w.Dray(t, 0, "history", "stage", "--json"), "history")
	got := lines[0].Actor.Identity
	if got.Account != testenv.User || got.Key != ssh.FingerprintSHA256(key) || got.Address == "" || got.Role != "deploy:stage" {
		t.Errorf("the host saw %+v roll back", got)
	}
	if table := w.Dray(t, 0, "history", "stage").Stdout; !strings.Contains(table, " via key SHA256:") {
		t.Errorf("the table does not tell whom the host saw:\n%s", table)
	}
}

// seenRecord is what a line of history says of who it was.
type seenRecord struct {
	Actor struct {
		Identity struct {
			Account string `json:"account"`
			Key     string `json:"key"`
			Address string `json:"address"`
			Role    string `json:"role"`
		} `json:"identity"`
	} `json:"actor"`
}

// force gives the lab's key a role on a host, and nothing else, and has sshd pass
// the key on.
func force(t *testing.T, h *testenv.Host, role string) {
	t.Helper()
	command := "/var/lib/dray/bin/current/drayd connect --role "
	script := `set -e
keys=/home/` + testenv.User + `/.ssh/authorized_keys
key=$(cat $keys)
printf '%s\n' "restrict,command=\"sudo -n ` + command + role + `\" $key" >$keys
printf '%s\n' '` + testenv.User + ` ALL=(root) NOPASSWD: ` + command + strings.ReplaceAll(role, ":", `\:`) + `' >/etc/sudoers.d/lab
visudo -cf /etc/sudoers.d/lab >/dev/null
echo 'ExposeAuthInfo yes' >>/etc/ssh/sshd_config
kill -HUP "$(cat /run/sshd.pid)"`
	if out, err := h.Exec(t.Context(), "sh", "-c", script); err != nil {
		t.Fatalf("giving the key of %s a role: %v\n%s", h.Name, err, out)
	}
}
