package ui

import (
	"strings"
	"testing"

	"dray/targets/api"
)

// TestHostConfinement: host check says what a host enforces, what it does not, and
// why; of an older agent, which does not tell, nothing is claimed.
func TestHostConfinement(t *testing.T) {
	for name, tt := range map[string]struct {
		host api.Host
		want string
	}{
		"an older agent": {api.Host{CgroupVersion: 2}, ""},
		"all but one": {
			api.Host{CgroupVersion: 2, Confinement: api.Confinement{AppArmor: "enforced", SELinux: "not enabled in the kernel", Seccomp: "enforced", Userns: "possible"}},
			"p1 confines containers with seccomp, AppArmor, user namespaces and cgroups v2; not with SELinux (not enabled in the kernel).\n",
		},
		"without a policy": {
			api.Host{CgroupVersion: 1, Confinement: api.Confinement{AppArmor: "no", SELinux: "enforced", Seccomp: "enforced", Userns: "no", Policy: "install container-selinux"}},
			"p1 confines containers with seccomp, SELinux and cgroups v1; not with AppArmor (no) and user namespaces (no).\n! p1: install container-selinux\n",
		},
	} {
		var out strings.Builder
		printConfinement(&out, "p1", &tt.host)
		if out.String() != tt.want {
			t.Errorf("%s: %q, want %q", name, out.String(), tt.want)
		}
	}
}
