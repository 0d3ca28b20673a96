//go:build linux && cgo

// Command dray-oci is an OCI runtime: runc's libcontainer under the part of
// runc's command line that BuildKit's executor, go-runc and dray's own shim
// use. It is a binary of its own because a container's start boots it twice:
// every package that it links is paid for in each start.
//
// The way through it: main parses the global flags, sets the log up and hands
// over to one verb; create, run and exec meet in a launch (launch.go), which
// ends in libcontainer. The second boot, inside the container, is in init.go.
// "dray-oci shim" is the process that stands behind each of dray's containers
// (targets/runtime/shim says why it lives here).
//
// Callers match the text of some errors ("does not exist", "container not
// running", "process already finished"): they come from libcontainer as they
// are, and must stay so.
//
// An option that is taken is honoured; one that is not is refused as unknown,
// never ignored. Left out of runc's command line, and why:
//
//   - checkpoint, restore: no container here moves, and CRIU's client is large.
//   - update --l3-cache-schema, --mem-bw-schema, and the figures of Intel RDT in
//     events: none of the callers (containerd's shim, Podman, CRI-O, BuildKit)
//     asks for them; what a bundle says of RDT is honoured.
//   - update of device rules: runc does not change them either. Other rules
//     than the container's are worth a warning here.
//   - NOTIFY_SOCKET: dray's containers tell their readiness by checks; a
//     socket in our environment is the caller's own and stays unused.
//   - $XDG_RUNTIME_DIR as the default root: callers without root name theirs.
//   - texts: of --help, and of mistakes on the command line.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"dray/targets/runtime/shim"

	"github.com/sirupsen/logrus"
)

// A verb is one command. run gets what was parsed and returns the exit code
// of the process that it waited for, or an error.
type verb struct {
	does     string // for its help
	operands string // likewise
	flags    []flag
	min      int  // arguments at least
	max      int  // at most; -1: no bound
	early    bool // flags end at the first argument (what follows is a command's own)
	run      func(call) (int, error)
}

// A call is one invocation of a verb.
type call struct {
	global values
	values
	args []string
	dir  string // of --root, absolute
}

// root is the folder that holds the state of all containers.
func (c call) root() string { return c.dir }

var globals = []flag{
	{name: "root", value: true}, {name: "log", value: true}, {name: "log-format", value: true},
	{name: "debug"}, {name: "systemd-cgroup"}, {name: "rootless", value: true},
	{name: "version", short: "v"}, {name: "help", short: "h"},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "shim" {
		os.Exit(shim.Main(os.Args[2:]))
	}
	code, err := dispatch(os.Args[1:])
	if err != nil {
		report(err)
		if code <= 0 {
			code = 1
		}
	}
	os.Exit(code)
}

// dispatch runs the verb that args name.
func dispatch(args []string) (int, error) {
	global, rest, err := parse(globals, args, true)
	if err != nil {
		return 1, err
	}
	if global.has("version") {
		printVersion()
		return 0, nil
	}
	if len(rest) == 0 || global.has("help") || rest[0] == "help" {
		printUsage()
		return 0, nil
	}
	root, err := prepare(global)
	if err != nil {
		return 1, err
	}
	v, ok := verbs()[rest[0]]
	if !ok {
		return 1, fmt.Errorf("unknown command %q", rest[0])
	}
	own, operands, err := parse(append([]flag{{name: "help", short: "h"}}, v.flags...), rest[1:], v.early)
	if err != nil {
		return 1, fmt.Errorf("%s: %w", rest[0], err)
	}
	if own.has("help") {
		v.printHelp(rest[0])
		return 0, nil
	}
	if len(operands) < v.min || v.max >= 0 && len(operands) > v.max {
		return 1, fmt.Errorf("%s: wrong number of arguments: %d", rest[0], len(operands))
	}
	return v.run(call{global: global, values: own, args: operands, dir: root})
}

// prepare applies the global flags: it returns where the state is, and opens
// the log.
func prepare(global values) (string, error) {
	root := global.text("root")
	if root == "" && len(global.all("root")) == 0 {
		root = defaultRoot
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	if root == "/" {
		return "", errors.New("--root must not be /")
	}
	return root, openLog(global)
}

// openLog sends the log to the file of --log in the format of --log-format.
// Callers read the causes of failures from it.
func openLog(global values) error {
	if global.has("debug") {
		logrus.SetLevel(logrus.DebugLevel)
	}
	switch format := global.text("log-format"); format {
	case "", "text":
	case "json":
		logrus.SetFormatter(new(logrus.JSONFormatter))
	default:
		return fmt.Errorf("invalid log-format: %s", format)
	}
	path := global.text("log")
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	logrus.SetOutput(f)
	return nil
}

// report writes err to the log, and to stderr where the log is elsewhere.
func report(err error) {
	logrus.Error(err)
	if logrus.StandardLogger().Out != os.Stderr {
		fmt.Fprintln(os.Stderr, err)
	}
}
