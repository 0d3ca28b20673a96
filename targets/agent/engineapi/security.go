package engineapi

import (
	"net/http"
	"strings"

	"dray/pipeline"
	hostapi "dray/targets/api"
	"dray/targets/runtime/confine"
)

// securityOf reads --security-opt: NAME=VALUE, NAME:VALUE or NAME. A seccomp
// profile comes as its content, as docker's command line sends it.
func securityOf(options []string) (pipeline.Security, error) {
	s := pipeline.Security{}
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		if before, after, colon := strings.Cut(option, ":"); colon && !strings.ContainsAny(before, "={") {
			name, value = before, after
		}
		switch {
		case name == "no-new-privileges" && (value == "" || value == "true"):
			s.NewPrivileges = false
		case name == "no-new-privileges" && value == "false":
			s.NewPrivileges = true
		case name == "seccomp" && (value == "builtin" || value == pipeline.ProfileDefault):
			s.Seccomp = ""
		case name == "seccomp" && value != "":
			s.Seccomp = value
		case name == "apparmor" && value == confine.DefaultProfile:
			s.AppArmor = ""
		case name == "apparmor" && value != "":
			s.AppArmor = value
		default:
			return s, fault(http.StatusNotImplemented, "dray does not do this: security option %q", option)
		}
	}
	return s, nil
}

// securityOptions shows a container's confinement in Docker's words.
func securityOptions(s pipeline.Security) []string {
	options := []string{}
	if !s.NewPrivileges {
		options = append(options, "no-new-privileges")
	}
	if s.Seccomp != "" {
		options = append(options, "seccomp="+s.Seccomp)
	}
	if s.AppArmor != "" {
		options = append(options, "apparmor="+s.AppArmor)
	}
	return options
}

// hostSecurity lists what the host confines with, as docker info does.
func hostSecurity(host hostapi.Host) []string {
	options := []string{"name=seccomp,profile=builtin", "name=cgroupns"}
	if host.Confinement.AppArmor == confine.Enforced {
		options = append(options, "name=apparmor")
	}
	if host.Confinement.SELinux == confine.Enforced {
		options = append(options, "name=selinux")
	}
	return options
}

// runtimeName is how Docker's API calls an OCI runtime.
func runtimeName(s pipeline.Security) string {
	if s.Runtime != "" {
		return s.Runtime
	}
	return "dray-oci"
}
