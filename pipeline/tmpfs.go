package pipeline

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Tmpfs is a file system in memory in a container.
type Tmpfs struct {
	Path string // absolute
	Size Bytes  // 0: half of the host's memory, as tmpfs(5) has it
	Mode string // octal permissions of its root; "" is 1777
	Exec bool   // programs may be run from it
}

// ParseTmpfs reads "/run" or "/cache:size=64m,mode=0700,exec", the form of
// docker run --tmpfs. What is not known is an error: an option that is passed
// over leaves a file system without the bound that somebody asked for.
func ParseTmpfs(text string) (Tmpfs, error) {
	where, options, _ := strings.Cut(text, ":")
	t := Tmpfs{Path: where}
	if !path.IsAbs(where) {
		return t, fmt.Errorf("%q is not an absolute path", where)
	}
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		var err error
		switch name {
		case "", "rw", "nosuid", "nodev", "noexec": // so it is
		case "exec":
			t.Exec = true
		case "size":
			t.Size, err = ParseBytes(value)
		case "mode":
			t.Mode = value
			_, err = strconv.ParseUint(value, 8, 12)
		default:
			err = strconv.ErrSyntax
		}
		if err != nil {
			return t, fmt.Errorf("option %q of the tmpfs on %s: size=AMOUNT, mode=OCTAL and exec are possible", option, where)
		}
	}
	return t, nil
}
