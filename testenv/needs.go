package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// needs are the programs that a lab runs, and Debian's packages of them.
var needs = []struct{ program, apt string }{
	{"/usr/sbin/sshd", "openssh-server"},
	{"ssh", "openssh-client"},
	{"/bin/busybox", "busybox-static"},
	{"sudo", "sudo"},
	{"nsenter", "util-linux"},
	{"ip", "iproute2"},
	{"nft", "nftables"},
}

// Missing tells what the machine lacks for such a lab, with the command that
// installs it; nil: nothing.
func Missing(o Options) error {
	if os.Geteuid() != 0 {
		return errors.New("a lab needs root: it makes namespaces and a bridge")
	}
	wanted := needs
	if o.DiskSize > 0 {
		wanted = append(wanted[:len(wanted):len(wanted)], struct{ program, apt string }{"mkfs.ext4", "e2fsprogs"})
	}
	if o.Init == Systemd {
		wanted = append(wanted[:len(wanted):len(wanted)], struct{ program, apt string }{"/lib/systemd/systemd", "systemd"})
	}
	var programs, packages []string
	for _, n := range wanted {
		if _, err := exec.LookPath(n.program); err != nil {
			programs, packages = append(programs, n.program), append(packages, n.apt)
		}
	}
	if len(programs) == 0 {
		return nil
	}
	return fmt.Errorf("this machine lacks %s: apt-get install --no-install-recommends %s",
		strings.Join(programs, ", "), strings.Join(packages, " "))
}
