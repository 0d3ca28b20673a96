package ssh

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dray/pipeline"
)

// The shell on a host sees three commands, all of them one-liners in single
// quotes, so that any login shell (sh, zsh, fish, csh) passes them on whole:
// no quote, no backslash, no exclamation mark, no line end inside.

// connectScript runs the installed drayd, or says what there is instead.
const connectScript = `p=/var/lib/dray/bin/current/drayd; s=; [ "$(id -u)" = 0 ] || s="sudo -n"; ` +
	`if [ -x $p ] || $s test -x $p 2>/dev/null; then exec $s $p connect%s; fi; ` +
	`echo dray-absent; echo os=$(uname -s); echo arch=$(uname -m); echo kernel=$(uname -r); echo user=$(id -un); ` +
	`if r=$($s true 2>&1); then echo root=yes; else echo root=no; echo sudo=$r; fi; ` +
	`m=; for t in tar gzip sha256sum mktemp; do command -v $t >/dev/null 2>&1 || m="$m $t"; done; echo missing=$m; ` +
	`df -Pk /var/lib 2>/dev/null | { read a; read a b c d e; echo free=$d; }; echo dray-end`

// receiveScript takes an archive on stdin and hands it to the drayd in it. The
// arguments are the bundle's short and whole digest, and the archive's.
const receiveScript = `set -e; umask 022; b=/var/lib/dray/bin; ` +
	`if [ -x $b/%[1]s/drayd ]; then echo dray-have; exec $b/%[1]s/drayd install --digest %[2]s; fi; ` +
	`mkdir -p $b; t=$(mktemp -d $b/.new-XXXXXX); trap "rm -rf $t" EXIT HUP INT TERM; ` +
	`echo dray-want; cat >$t/archive; set -- $(sha256sum $t/archive); ` +
	`if [ "$1" = %[3]s ]; then :; else echo "dray-damaged $1" >&2; exit 65; fi; ` +
	`gzip -dc $t/archive | tar -xf - -C $t; rm $t/archive; chmod 755 $t; ` +
	`$t/drayd install --digest %[2]s --from $t`

// connectCommand is what a client runs first. One that only looks has drayd
// start no agent.
func connectCommand(look bool) string {
	argument := ""
	if look {
		argument = " look"
	}
	return "exec /bin/sh -c '" + fmt.Sprintf(connectScript, argument) + "'"
}

// receiveCommand is what a client runs to bring a bundle.
func receiveCommand(root bool, hex, digest, archive string) string {
	script := fmt.Sprintf(receiveScript, hex, digest, strings.TrimPrefix(archive, "sha256:"))
	if root {
		return "exec /bin/sh -c '" + script + "'"
	}
	return "exec sudo -n /bin/sh -c '" + script + "'"
}

// facts are what connectScript says of a host without drayd.
type facts struct {
	os, arch, kernel, user string
	root                   bool   // it is root, or sudo works without a password
	sudo                   string // what sudo says when it does not
	missing                string
	freeKiB                int64 // -1: not known
}

const (
	absentLine = "dray-absent"
	endLine    = "dray-end"
)

// parseFacts reads the lines after absentLine.
func parseFacts(lines []string) facts {
	f := facts{freeKiB: -1}
	for _, line := range lines {
		key, value, _ := strings.Cut(line, "=")
		value = strings.TrimSpace(value)
		switch key {
		case "os":
			f.os = value
		case "arch":
			f.arch = goarch(value)
		case "kernel":
			f.kernel = value
		case "user":
			f.user = value
		case "root":
			f.root = value == "yes"
		case "sudo":
			f.sudo = value
		case "missing":
			f.missing = value
		case "free":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				f.freeKiB = n
			}
		}
	}
	return f
}

// goarch turns uname -m into GOARCH.
func goarch(machine string) string {
	switch machine {
	case "x86_64", "amd64":
		return "amd64"
	case "aarch64", "arm64":
		return "arm64"
	}
	return machine
}

const (
	oldestKernel = "5.4" // clone3, pidfd, openat2's predecessors: what dray-oci and the agent rely on
	neededKiB    = 100 << 10
)

// check says why dray can't be installed on a host.
func (f facts) check(host string) error {
	refuse := func(kind, detail, next string) error {
		return &SetupError{Host: host, Kind: kind, Detail: detail, Next: next}
	}
	switch {
	case f.os != "Linux":
		return refuse(SetupSystem, fmt.Sprintf("it runs %s; dray's hosts run Linux", cmp.Or(f.os, "an unknown system")), "choose a Linux host")
	case f.arch != "amd64" && f.arch != "arm64":
		return refuse(SetupSystem, fmt.Sprintf("its processor is %s; dray runs on x86_64 and aarch64", f.arch), "choose another host")
	case olderKernel(f.kernel, oldestKernel):
		return refuse(SetupSystem, fmt.Sprintf("its kernel is %s; dray needs %s or newer", f.kernel, oldestKernel), "upgrade the host's system")
	case !f.root:
		return noRoot(host, f.user, f.sudo)
	case f.missing != "":
		return refuse(SetupTools, "it lacks "+strings.Join(strings.Fields(f.missing), ", "), "install them there with its package manager (Debian: apt-get install tar gzip coreutils)")
	case f.freeKiB >= 0 && f.freeKiB < neededKiB:
		return refuse(SetupSpace, fmt.Sprintf("/var/lib has %d MiB free; dray needs %d MiB for itself", f.freeKiB>>10, neededKiB>>10), "make room there")
	}
	return nil
}

// noRoot is the fault of a user who can't become root; output has sudo's words.
func noRoot(host, user, output string) error {
	user = cmp.Or(user, "USER")
	fault := &SetupError{Host: host, Kind: SetupRoot}
	switch {
	case strings.Contains(output, "must have a tty"):
		fault.Detail = fmt.Sprintf("user %s is not root there, and sudo works at a terminal only (requiretty in sudoers)", user)
		fault.Next = fmt.Sprintf("as root there: echo 'Defaults:%s !requiretty' > /etc/sudoers.d/dray-tty", user)
	case strings.Contains(output, "sudo: not found"), strings.Contains(output, "sudo: command not found"):
		fault.Detail = fmt.Sprintf("user %s is not root there, and there is no sudo", user)
		fault.Next = fmt.Sprintf("connect as root, or install sudo there, then: echo '%s ALL=(root) NOPASSWD: ALL' > /etc/sudoers.d/dray", user)
	default:
		fault.Detail = fmt.Sprintf("user %s is not root there, and sudo asks for a password", user)
		if output != "" && !strings.Contains(output, "a password is required") {
			fault.Detail = fmt.Sprintf("user %s is not root there, and sudo does not help: %s", user, output)
		}
		fault.Next = fmt.Sprintf("as root there: echo '%s ALL=(root) NOPASSWD: ALL' > /etc/sudoers.d/dray", user)
	}
	return fault
}

// olderKernel compares MAJOR.MINOR; what it can't read is not older.
func olderKernel(have, want string) bool {
	var a, b, c, d int
	if n, _ := fmt.Sscanf(have, "%d.%d", &a, &b); n != 2 {
		return false
	}
	if n, _ := fmt.Sscanf(want, "%d.%d", &c, &d); n != 2 {
		return false
	}
	return a < c || a == c && b < d
}

// ErrAbsent is a host without drayd, for one who only looks.
var ErrAbsent = errors.New("dray was never here")

// Kinds of SetupError.
const (
	SetupRoot   = "root"   // neither root nor sudo without a password
	SetupSystem = "system" // not a Linux that dray runs on
	SetupTools  = "tools"  // programs are missing
	SetupSpace  = "space"  // the disk is full
	SetupNoExec = "noexec" // /var/lib is mounted noexec
	SetupDamage = "damage" // what arrived is not what was sent
	SetupBundle = "bundle" // this dray has no programs for the host
	SetupNewer  = "newer"  // the host's drayd is newer than this dray understands
	SetupOlder  = "older"  // it is older, and this is only a look
	SetupRole   = "role"   // it can't be used, and the connection's role can't replace it
	SetupAgent  = "agent"  // drayd is there, but does not run
)

// SetupError is why a host that was reached can't be used.
type SetupError struct {
	Host   string
	Kind   string
	Detail string
	Next   string
	Err    error
}

// Error names the host and the reason.
func (e *SetupError) Error() string { return e.Host + ": " + e.Detail }

// Hint says what to do next.
func (e *SetupError) Hint() pipeline.Hint { return pipeline.Hint{Next: e.Next} }

// Unwrap returns the error below.
func (e *SetupError) Unwrap() error { return e.Err }
