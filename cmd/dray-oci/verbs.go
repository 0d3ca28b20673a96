//go:build linux && cgo

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	defaultRoot = "/run/dray-oci"

	// libVersion is that of the linked libcontainer; go-runc parses it from
	// --version as runc's own.
	libVersion = "1.5.2"
)

var launchFlags = []flag{
	{name: "bundle", short: "b", value: true}, {name: "pid-file", value: true},
	{name: "console-socket", value: true}, {name: "pidfd-socket", value: true},
	{name: "preserve-fds", value: true}, {name: "no-pivot"}, {name: "no-new-keyring"},
}

// verbs lists the commands. It is a function so that a boot which never comes
// here (the one inside a container) does not build the table.
func verbs() map[string]verb {
	return map[string]verb{
		"create": {does: "make a container whose process waits for start", operands: "ID", flags: launchFlags, min: 1, max: 1, run: create},
		"run": {does: "make a container and start it", operands: "ID", flags: append([]flag{
			{name: "detach", short: "d"}, {name: "keep"}, {name: "no-subreaper"},
		}, launchFlags...), min: 1, max: 1, run: run},
		"exec": {does: "run a further process in a container", operands: "ID [COMMAND …]",
			flags: execFlags, min: 1, max: -1, early: true, run: execute},
		"start": {does: "let a created container's process go", operands: "ID", min: 1, max: 1, run: start},
		"state": {does: "print a container's state as JSON", operands: "ID", min: 1, max: 1, run: state},
		"kill": {does: "signal a container's first process", operands: "ID [SIGNAL]",
			flags: []flag{{name: "all", short: "a"}}, min: 1, max: 2, run: kill},
		"delete": {does: "remove what is left of a container", operands: "ID",
			flags: []flag{{name: "force", short: "f"}}, min: 1, max: 1, run: remove},
		"pause":  {does: "freeze a container's processes", operands: "ID", min: 1, max: 1, run: pause},
		"resume": {does: "let a paused container go on", operands: "ID", min: 1, max: 1, run: resume},
		"ps": {does: "print a container's processes", operands: "ID [OPTIONS OF PS …]",
			flags: []flag{{name: "format", short: "f", value: true}}, min: 1, max: -1, early: true, run: ps},
		"list": {does: "print the state of all containers", flags: []flag{
			{name: "format", short: "f", value: true}, {name: "quiet", short: "q"},
		}, max: 0, run: list},
		"update": {does: "change a container's limits", operands: "ID", flags: updateFlags, min: 1, max: 1, run: update},
		"events": {does: "print a container's figures, and when its memory runs out", operands: "ID",
			flags: []flag{{name: "stats"}, {name: "interval", value: true}}, min: 1, max: 1, run: events},
		"spec": {does: "write the configuration of an example", flags: []flag{
			{name: "bundle", short: "b", value: true}, {name: "rootless"},
		}, max: 0, run: newSpec},
		"features": {does: "print what this runtime can do as JSON", max: 0, run: showFeatures},
	}
}

func printVersion() {
	fmt.Printf("runc version %s\ncommit: dray-oci\nspec: %s\n", libVersion, specs.Version)
}

func printUsage() {
	fmt.Fprint(os.Stdout, `dray-oci: an OCI runtime

  dray-oci [--root DIR] [--log FILE] [--log-format text|json] [--debug]
           [--systemd-cgroup] [--rootless true|false|auto] COMMAND …

`)
	all := verbs()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Printf("  %-9s %s\n", name, all[name].does)
	}
	fmt.Println("\ndray-oci COMMAND --help shows the flags of a command.")
}

// printHelp prints how the verb called name is used.
func (v verb) printHelp(name string) {
	fmt.Printf("NAME:\n   dray-oci %s - %s\n\nUSAGE:\n   %s\n", name, v.does,
		strings.TrimSpace("dray-oci "+name+" [flags] "+v.operands))
	if len(v.flags) == 0 {
		return
	}
	fmt.Println("\nFLAGS:")
	for _, f := range v.flags {
		line := "--" + f.name
		if f.value {
			line += " VALUE"
		}
		if f.short != "" {
			line += ", -" + f.short
		}
		fmt.Println("   " + line)
	}
}
