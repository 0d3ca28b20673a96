package unpack

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Versions of landlock, by what they brought (landlock(7)).
const (
	landlockRefer    = 2 // links from one folder to another; the first one forbids them all
	landlockTruncate = 3
	landlockIoctl    = 5
)

// used is what unpacking does with files.
const used = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
	unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
	unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
	unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
	unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER

// landlock allows used below the root directory and nothing else, in so far as
// the kernel can. A kernel without it changes nothing: the root directory is
// the first wall. Sockets and signals are not asked for: there is nobody in the
// child's namespaces to reach.
func landlock() error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || version < landlockRefer {
		return nil //nolint:nilerr // it has none, or it is switched off
	}
	rules := unix.LandlockRulesetAttr{Handled_access_fs: used | unix.LANDLOCK_ACCESS_FS_EXECUTE}
	below := unix.LandlockPathBeneathAttr{Allowed_access: used}
	if version >= landlockTruncate {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
		below.Allowed_access |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= landlockIoctl {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), unsafe.Sizeof(rules), 0)
	if errno != 0 {
		return errno
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return errors.Join(err, unix.Close(int(set)))
	}
	below.Parent_fd = int32(root)
	_, _, errno = unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, set, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&below)), 0, 0, 0)
	runtime.KeepAlive(&below)
	if errno == 0 {
		err = onAllThreads(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0)
	} else {
		err = errno
	}
	return errors.Join(err, unix.Close(root), unix.Close(int(set)))
}
