//go:build linux && cgo

package main

import (
	"fmt"
	"os"

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
		"create": {flags: launchFlags, min: 1, max: 1, run: create},
		"run": {flags: append([]flag{
			{name: "detach", short: "d"}, {name: "keep"}, {name: "no-subreaper"},
		}, launchFlags...), min: 1, max: 1, run: run},
		"exec": {flags: []flag{
			{name: "process", short: "p", value: true}, {name: "pid-file", value: true},
			{name: "console-socket", value: true}, {name: "pidfd-socket", value: true},
			{name: "detach", short: "d"}, {name: "tty", short: "t"}, {name: "cwd", value: true},
			{name: "env", short: "e", value: true}, {name: "user", short: "u", value: true},
			{name: "additional-gids", short: "g", value: true}, {name: "cap", short: "c", value: true},
			{name: "no-new-privs"}, {name: "preserve-fds", value: true}, {name: "ignore-paused"},
		}, min: 1, max: -1, early: true, run: execute},
		"start":  {min: 1, max: 1, run: start},
		"state":  {min: 1, max: 1, run: state},
		"kill":   {flags: []flag{{name: "all", short: "a"}}, min: 1, max: 2, run: kill},
		"delete": {flags: []flag{{name: "force", short: "f"}}, min: 1, max: 1, run: remove},
		"pause":  {min: 1, max: 1, run: pause},
		"resume": {min: 1, max: 1, run: resume},
		"ps":     {flags: []flag{{name: "format", short: "f", value: true}}, min: 1, max: -1, early: true, run: ps},
		"list": {flags: []flag{
			{name: "format", short: "f", value: true}, {name: "quiet", short: "q"},
		}, max: 0, run: list},
		"update":   {flags: []flag{{name: "resources", short: "r", value: true}}, min: 1, max: 1, run: update},
		"features": {max: 0, run: showFeatures},
	}
}

func printVersion() {
	fmt.Printf("runc version %s\ncommit: dray-oci\nspec: %s\n", libVersion, specs.Version)
}

func printUsage() {
	fmt.Fprint(os.Stdout, `dray-oci: an OCI runtime

  dray-oci [--root DIR] [--log FILE] [--log-format text|json] [--debug] [--systemd-cgroup] COMMAND …

  create  --bundle DIR [--pid-file F] [--console-socket S] [--preserve-fds N] ID
  run     --bundle DIR [--detach] [--keep] [--pid-file F] [--console-socket S] ID
  exec    --process F | [--cwd D] [--user U] [--env K=V] [--tty] [--detach] ID [COMMAND …]
  start   ID
  state   ID
  kill    [--all] ID [SIGNAL]
  delete  [--force] ID
  ps      [--format json] ID
  list    [--format json]
  pause, resume  ID
  update  --resources F|- ID
  features
`)
}
