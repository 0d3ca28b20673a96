package confine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// DefaultProfile is the name of dray's AppArmor profile.
const DefaultProfile = "dray-default"

// probeAppArmor says whether profiles can be loaded here. root is "/", but for
// tests.
func probeAppArmor(root string) string {
	enabled, err := os.ReadFile(filepath.Join(root, "sys/module/apparmor/parameters/enabled"))
	if err != nil || !strings.HasPrefix(string(enabled), "Y") {
		return "not enabled in the kernel"
	}
	if parser(root) == "" {
		return "enabled, but apparmor_parser is not installed, so no profile can be loaded"
	}
	return Enforced
}

// parser finds the program that compiles profiles. A daemon's PATH need not
// have the folders of root's programs.
func parser(root string) string {
	for _, dir := range []string{"sbin", "usr/sbin", "usr/bin"} {
		path := filepath.Join(root, dir, "apparmor_parser")
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// loadedProfiles is where the kernel lists the profiles that it has.
const loadedProfiles = "/sys/kernel/security/apparmor/profiles"

// HasProfile says whether the kernel has a profile.
func HasProfile(name string) (bool, error) {
	text, err := os.ReadFile(loadedProfiles)
	if err != nil {
		return false, fmt.Errorf("reading AppArmor's profiles: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name+" (") {
			return true, nil
		}
	}
	return false, nil
}

// LoadDefault has the kernel know dray's profile. It is asked before each
// container: a reload of AppArmor, as an update of the distribution's does it,
// takes away what it has no file of.
func LoadDefault(ctx context.Context) error {
	if has, err := HasProfile(DefaultProfile); err == nil && has {
		return nil // unreadable: securityfs is not mounted, and the parser knows better
	}
	own, err := os.ReadFile("/proc/self/attr/current")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the agent's own AppArmor profile: %w", err)
	}
	cmd := exec.CommandContext(ctx, parser("/"), "--replace", "--skip-cache")
	cmd.Stdin = strings.NewReader(Profile(DefaultProfile, profileOf(string(own)), "/etc/apparmor.d"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("loading the AppArmor profile %s: %w: %s", DefaultProfile, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// profileOf takes the name out of "NAME (enforce)", the form of
// /proc/PID/attr/current.
func profileOf(current string) string {
	name, _, _ := strings.Cut(strings.TrimRight(current, "\n\x00"), " (")
	if name == "" {
		return "unconfined"
	}
	return name
}

// Profile is the text of dray's profile: Docker's confinement. Root in a
// container that has a capability too many still mounts nothing, and writes to
// no part of /proc and /sys that is the host's. agent is the profile of the agent
// itself, whose signals must arrive. includes is the folder of the
// distribution's parts, /etc/apparmor.d; what it does not have is left out.
//
// It is written here, and not taken from containerd's contrib/apparmor: that
// links its OCI package, ttrpc and gRPC into the agent, and text/template, which
// keeps the linker from dropping unused methods.
func Profile(name, agent, includes string) string {
	has := func(part string) bool {
		_, err := os.Stat(filepath.Join(includes, part))
		return err == nil
	}
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	if has("abi/3.0") {
		line("abi <abi/3.0>,")
	}
	if has("tunables/global") {
		line("include <tunables/global>")
	} else {
		line("@{PROC}=/proc/")
	}
	line("profile %s flags=(attach_disconnected, mediate_deleted) {", name)
	if has("abstractions/base") {
		line("  include <abstractions/base>")
	}
	line("  capability,\n  file,\n  network,\n  umount,")
	for _, peer := range dedupe("unconfined", "runc", "crun", agent) {
		line("  signal (receive) peer=%q,", peer)
	}
	line("  signal (send, receive) peer=%q,", name)
	line("  ptrace (trace, tracedby, read, readby) peer=%q,", name)
	line("  deny mount,")
	for _, path := range unwritable() {
		line("  deny %s wklx,", path)
	}
	for _, path := range untouchable() {
		line("  deny %s rwklx,", path)
	}
	line("}")
	return text.String()
}

func dedupe(names ...string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// unwritable are the host's parts of /proc and /sys. Of /proc the folders of
// processes remain, whose names begin with a digit, and kernel/shm* of
// /proc/sys, which is of an IPC namespace; of /sys the cgroups.
func unwritable() []string {
	paths := []string{
		"@{PROC}/*",           // files right in /proc
		"@{PROC}/[^1-9s]*/**", // folders that are no process's, "sys" aside
		"@{PROC}/s[^y]*/**", "@{PROC}/sy[^s]*/**", "@{PROC}/sys?*/**",
	}
	paths = append(paths, except("@{PROC}/sys/", "kernel/shm")...)
	return append(paths, except("/sys/", "fs/cgroup")...)
}

// except lists patterns of everything in a folder but what begins with a word,
// or is the beginning of it.
func except(folder, word string) []string {
	var patterns []string
	for i := range word {
		patterns = append(patterns, fmt.Sprintf("%s%s[^%c]**", folder, word[:i], word[i]))
	}
	return patterns
}

// untouchable tell of the host, or act on it, by being read already.
func untouchable() []string {
	return []string{
		"@{PROC}/sysrq-trigger", "@{PROC}/kcore",
		"/sys/firmware/**", "/sys/devices/virtual/powercap/**", "/sys/kernel/security/**",
	}
}
