package confine

import (
	"fmt"
	"os"

	selinux "github.com/opencontainers/selinux/go-selinux"
	"github.com/opencontainers/selinux/go-selinux/label"
)

// Labels are the SELinux contexts of one container; both are empty on a host
// without SELinux. Their categories are the container's own, so that it reaches
// no other one's files, whoever it runs as.
type Labels struct{ Process, Mount string }

// NewLabels takes categories that no container has that this process knows of.
func NewLabels() (Labels, error) {
	if !selinux.GetEnabled() {
		return Labels{}, nil
	}
	process, mount, err := label.InitLabels(nil)
	if err != nil {
		return Labels{}, fmt.Errorf("choosing SELinux labels: %w", err)
	}
	return Labels{process, mount}, nil
}

// Reserve notes that a container has a process label, and Release that it has
// not any more.
func Reserve(process string) {
	if process != "" {
		_ = selinux.ReserveLabelV2(process) // it fails where it is reserved already: this container's, then
	}
}

// Release is the opposite of Reserve.
func Release(process string) {
	if process != "" {
		selinux.ReleaseLabel(process)
	}
}

// Relabel gives a folder of the host, with all in it, to a container (Docker's
// Z), or to all containers (z).
func Relabel(path, mount string, shared bool) error {
	if mount == "" {
		return nil
	}
	if err := label.Relabel(path, mount, shared); err != nil {
		return fmt.Errorf("labelling %s for SELinux: %w", path, err)
	}
	return nil
}

// RelabelOnce is Relabel for all containers where the folder itself is labelled
// otherwise. What is made in it later gets its label from it.
func RelabelOnce(path, mount string) error {
	if mount == "" {
		return nil
	}
	now, err := selinux.FileLabel(path)
	if err != nil {
		return fmt.Errorf("reading the SELinux label of %s: %w", path, err)
	}
	if typeOf(now) == typeOf(mount) {
		return nil
	}
	return Relabel(path, mount, true)
}

// typeOf is the third part of user:role:type:level.
func typeOf(context string) string {
	c, err := selinux.NewContext(context)
	if err != nil {
		return ""
	}
	return c["type"]
}

// FormatMount adds the label to the options of a mount(8), where there is one.
func FormatMount(options []string, mount string) []string {
	if mount == "" {
		return options
	}
	return append(append([]string{}, options...), label.FormatMountLabel("", mount))
}

// Policy says whether the host has the policy that containers need: the types of
// container-selinux.
func Policy() error {
	if !selinux.GetEnabled() {
		return nil
	}
	for _, path := range []string{"/etc/selinux/targeted/contexts/lxc_contexts", "/etc/selinux/default/contexts/lxc_contexts"} {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return fmt.Errorf("SELinux is on, and the policy for containers is not installed: install the package container-selinux")
}
