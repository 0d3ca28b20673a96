// Package confine knows what a host confines its containers with beside
// namespaces and cgroups: AppArmor, SELinux, system call filters and user
// namespaces. It loads dray's AppArmor profile and hands out SELinux labels.
//
// A host without one of them runs containers without it, as it runs everything
// else; "dray host check" says which there are.
//
// Not here: capabilities, system calls and mounts, which are part of each
// container's OCI specification (targets/runtime).
package confine

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	selinux "github.com/opencontainers/selinux/go-selinux"
)

// Facts say what a host can confine a container with.
type Facts struct {
	AppArmor string // Enforced, or why it is not
	SELinux  string // likewise
	Seccomp  string
	Userns   string
}

// Facts of what works.
const (
	Enforced = "enforced"
	Possible = "possible" // for who asks for it
)

// Probe looks at this host.
func Probe() Facts {
	return Facts{AppArmor: probeAppArmor("/"), SELinux: probeSELinux(), Seccomp: probeSeccomp("/"), Userns: probeUserns("/")}
}

func probeSELinux() string {
	switch {
	case !selinux.GetEnabled():
		return "not enabled in the kernel"
	case selinux.EnforceMode() != selinux.Enforcing:
		return "permissive: it only logs"
	}
	return Enforced
}

// probeSeccomp reads what the kernel was built with: seccomp(2).
func probeSeccomp(root string) string {
	if _, err := os.Stat(filepath.Join(root, "proc/sys/kernel/seccomp/actions_avail")); err != nil {
		return "not in the kernel"
	}
	return Enforced
}

// probeUserns says whether user namespaces can be made: user_namespaces(7).
func probeUserns(root string) string {
	if _, err := os.Stat(filepath.Join(root, "proc/self/ns/user")); err != nil {
		return "not in the kernel"
	}
	text, err := os.ReadFile(filepath.Join(root, "proc/sys/user/max_user_namespaces"))
	if most, parsed := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && parsed == nil && most == 0 {
		return "switched off: user.max_user_namespaces is 0"
	}
	return Possible
}
