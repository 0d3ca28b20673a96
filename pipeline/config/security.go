package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"dray/pipeline"
)

// maxSeccomp bounds a profile: it travels with each release.
const maxSeccomp = 256 << 10

// security reads a security block onto s. What is not said stays.
func (l *loader) security(source *hcl.Block, s *pipeline.Security) {
	b := l.open(source, kindSecurity, "security")
	none := !s.NewPrivileges
	b.boolean("no_new_privileges", &none)
	s.NewPrivileges = !none
	b.seccomp(&s.Seccomp)
	if b.filled("apparmor", &s.AppArmor) {
		switch {
		case s.AppArmor == pipeline.ProfileDefault:
			s.AppArmor = ""
		case strings.ContainsAny(s.AppArmor, " \t\n\"(){}"):
			l.fault(b.rangeOf("apparmor"), "Invalid AppArmor profile", `%q can't be a profile's name. Write "default", "unconfined", or a name that aa-status lists on the hosts.`, s.AppArmor)
		}
	}
	b.absolute("runtime", &s.Runtime)
}

// seccomp reads "default", "unconfined", or the path of a profile, whose content
// becomes part of the release: the same system calls everywhere, and a rollback
// brings the old ones back.
func (b *block) seccomp(dst *string) {
	var s string
	if !b.filled("seccomp", &s) {
		return
	}
	switch s {
	case pipeline.ProfileDefault:
		*dst = ""
		return
	case pipeline.ProfileUnconfined:
		*dst = s
		return
	}
	text, err := b.l.readText(s)
	if err != nil {
		b.l.fault(b.rangeOf("seccomp"), "Unreadable seccomp profile", `%v. Write "default", "unconfined", or the path of a profile in Docker's form, from the folder of the file.`, err)
		return
	}
	if err := checkSeccomp(text); err != nil {
		b.l.fault(b.rangeOf("seccomp"), "Invalid seccomp profile", "%s: %v.", b.l.resolve(s), err)
		return
	}
	var compact bytes.Buffer
	_ = json.Compact(&compact, []byte(text)) // it has been read
	*dst = compact.String()
}

// checkSeccomp looks at the form of a profile, as far as the deployer's machine
// can: a host reads the names of its system calls.
func checkSeccomp(text string) error {
	if len(text) > maxSeccomp {
		return fmt.Errorf("it has %d bytes, more than %d", len(text), maxSeccomp)
	}
	var profile struct {
		DefaultAction string `json:"defaultAction"`
		Syscalls      []struct {
			Name   string   `json:"name"`
			Names  []string `json:"names"`
			Action string   `json:"action"`
		} `json:"syscalls"`
	}
	if err := json.Unmarshal([]byte(text), &profile); err != nil {
		return fmt.Errorf("it is no seccomp profile: %w", err)
	}
	if !strings.HasPrefix(profile.DefaultAction, "SCMP_ACT_") {
		return fmt.Errorf("its defaultAction is %q, and no SCMP_ACT_…", profile.DefaultAction)
	}
	for _, call := range profile.Syscalls {
		if !strings.HasPrefix(call.Action, "SCMP_ACT_") || call.Name == "" && len(call.Names) == 0 {
			return fmt.Errorf("it has a rule without names, or whose action is no SCMP_ACT_…")
		}
	}
	return nil
}
