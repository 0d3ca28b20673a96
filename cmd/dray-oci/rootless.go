//go:build linux && cgo

package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/moby/sys/userns"
)

// rootlessCgroups says whether groups that may not be made are done without,
// as --rootless asks: "true", "false", or "auto", which is the default and
// means: unless we are the machine's own root.
func rootlessCgroups(global values) (bool, error) {
	switch text := global.text("rootless"); text {
	case "", "auto":
		return os.Geteuid() != 0 || userns.RunningInUserNS(), nil
	default:
		rootless, err := strconv.ParseBool(text)
		if err != nil {
			return false, fmt.Errorf("--rootless: %q is none of true, false, auto", text)
		}
		return rootless, nil
	}
}
