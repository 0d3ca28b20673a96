package inside

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// furnished marks a disk whose /etc is the host's own already.
const furnished = "/etc/lab/furnished"

// furnish writes the host's files at its first boot, and at each boot empties
// /tmp and fills /run with what its services expect. It runs in the new root.
func furnish(c *Config) error {
	for dir, mode := range map[string]fs.FileMode{"/run/lock": 0o1777, "/run/sshd": 0o755, "/run/user": 0o755, "/run/sudo": 0o711} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := chmod(dir, mode); err != nil {
			return err
		}
	}
	if err := emptyTmp(); err != nil {
		return err
	}
	if _, err := os.Stat(furnished); err == nil {
		return nil
	}
	for _, f := range files(c) {
		if err := write(f); err != nil {
			return err
		}
	}
	if c.Init == InitSystemd {
		if err := enableUnits(); err != nil {
			return fmt.Errorf("enabling units: %w", err)
		}
	}
	if err := addUser(c.Etc); err != nil {
		return fmt.Errorf("adding the user %s: %w", c.Etc.User, err)
	}
	return write(file{furnished, 0o644, "", 0})
}

func emptyTmp() error {
	entries, err := os.ReadDir("/tmp")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join("/tmp", e.Name())); err != nil {
			return err
		}
	}
	return nil
}

type file struct {
	path string
	mode fs.FileMode
	text string
	uid  int // also the group
}

func files(c *Config) []file {
	all := []file{
		{"/etc/hostname", 0o644, c.Name + "\n", 0},
		{"/etc/machine-id", 0o444, machineID(c.Etc.HostKey), 0},
		{"/etc/hosts", 0o644, hostsFile(c), 0},
		{"/etc/resolv.conf", 0o644, "# a lab host resolves by /etc/hosts alone\n", 0},
		{"/etc/inittab", 0o644, inittab, 0},
		{"/etc/lab/rc", 0o755, rc, 0},
		{"/etc/ssh/sshd_config", 0o644, sshdConfig(c.Etc), 0},
		{"/etc/ssh/ssh_host_ed25519_key", 0o600, c.Etc.HostKey, 0},
		{"/etc/sudoers.d/lab", 0o440, c.Etc.User + " ALL=(ALL:ALL) NOPASSWD: ALL\n", 0},
		{"/root/.ssh/authorized_keys", 0o600, c.Etc.AuthorizeKey, 0},
		{"/home/" + c.Etc.User + "/.ssh/authorized_keys", 0o600, c.Etc.AuthorizeKey, userID},
	}
	for _, s := range c.Etc.Start {
		all = append(all, file{"/etc/rc2.d/" + s.Name, 0o755, s.Text, 0})
	}
	return all
}

// machineID gives each host an id of its own (machine-id(5)), the same for good.
func machineID(hostKey string) string {
	sum := sha256.Sum256([]byte("machine-id " + hostKey))
	return hex.EncodeToString(sum[:16]) + "\n"
}

// enableUnits makes systemd start the SSH server and nothing that the machine
// has beside it.
func enableUnits() error {
	const units = "/etc/systemd/system/"
	if err := os.MkdirAll(units+"multi-user.target.wants", 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.Symlink("/lib/systemd/system/multi-user.target", units+"default.target"),
		os.Symlink("/lib/systemd/system/ssh.service", units+"multi-user.target.wants/ssh.service"))
}

func hostsFile(c *Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
	for _, name := range slices.Sorted(maps.Keys(c.Etc.Hosts)) {
		fmt.Fprintf(&b, "%s %s\n", c.Etc.Hosts[name], name)
	}
	return b.String()
}

// inittab is busybox init's: services start beside sshd, as they would under
// any init, so that a start script that hangs does not lock people out.
const inittab = `::once:/etc/lab/rc
::respawn:/usr/sbin/sshd -D
`

// rc does what sysv-rc does at the change to run level 2.
const rc = `#!/bin/sh
for script in /etc/rc2.d/S*; do
	[ -x "$script" ] && "$script" start
done
`

// sshdConfig is a hardened server's. PAM is off because nothing here logs in
// by password, and its session modules want a system that is booted by systemd.
func sshdConfig(e Etc) string {
	text := `HostKey /etc/ssh/ssh_host_ed25519_key
AddressFamily inet
PermitRootLogin prohibit-password
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitUserEnvironment no
X11Forwarding no
UsePAM no
UseDNS no
PrintMotd no
`
	if e.OnlyFrom != "" {
		text += "AllowUsers *@" + e.OnlyFrom + "\n"
	}
	if e.Forwarding {
		return text + "AllowTcpForwarding yes\n"
	}
	return text + "DisableForwarding yes\n"
}

// userID is of the lab's login user, out of the way of people's accounts.
const userID = 20210

// addUser appends to the account files what adduser would. The password field
// "*" allows a login by key; "!" would lock the account.
func addUser(e Etc) error {
	lines := map[string]string{
		"/etc/passwd": fmt.Sprintf("%s:x:%d:%d::/home/%s:/bin/bash\n", e.User, userID, userID, e.User),
		"/etc/group":  fmt.Sprintf("%s:x:%d:\n", e.User, userID),
		"/etc/shadow": e.User + ":*:19000:0:99999:7:::\n",
	}
	for path, line := range lines {
		old, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, append(withoutAccount(old, e.User), line...), 0o640); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/home/" + e.User, "/home/" + e.User + "/.ssh"} {
		if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, userID, userID)); err != nil {
			return err
		}
	}
	return errors.Join(os.Chmod("/root", 0o700), os.Chmod("/root/.ssh", 0o700))
}

// withoutAccount drops an account of that name that the machine has itself.
func withoutAccount(text []byte, user string) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, user+":") {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return []byte(b.String())
}

func write(f file) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(f.path); err != nil { // a link there may lead anywhere
		return err
	}
	if err := os.WriteFile(f.path, []byte(f.text), f.mode); err != nil {
		return err
	}
	return errors.Join(os.Chmod(f.path, f.mode), os.Chown(f.path, f.uid, f.uid))
}

// chmod takes the sticky bit in Unix notation.
func chmod(path string, mode fs.FileMode) error {
	m := mode.Perm()
	if mode&0o1000 != 0 {
		m |= fs.ModeSticky
	}
	return os.Chmod(path, m)
}
