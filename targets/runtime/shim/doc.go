// Package shim is the small process that stands behind each container: it
// makes the container with the OCI runtime, holds its standard streams, writes
// its log, reaps its pid 1 and writes down how it ended. It outlives the agent
// that started it, so an agent can crash or be replaced unnoticed.
//
//	agent ─ starts ─► shim ─ runs ─► dray-oci create ─ leaves ─► pid 1
//	  ▲                 │  (subreaper: pid 1 becomes its child)
//	  └── shim.sock ────┘  watch, attach, resize
//
// Files in the container's run folder: shim.json (Config, read at the start),
// shim.sock, init.pid, oci.log. exit.json goes to the state folder, durably,
// before anybody is told.
//
// Where it lives (2026-11): it is a mode of the dray-oci binary, not of drayd.
// dray-oci boots in 2 ms and its pages are shared by every shim; drayd links a
// hundred packages more, whose init each container would pay for in memory.
//
// What it costs (2026-11, ten on a host): 1.2 MB of its own, and its share of 7 MB
// that are dray-oci's file in the page cache. To hand its file's pages back after
// the start made it look smaller (4.3 MB resident, not 8.1) and take more: finding
// them cost 0.6 MB of heap in each shim.
//
// When a shim is killed its container's output has nowhere to go and its exit
// can't be read, so the agent kills the container, reports it as ended, and
// the restart policy brings it back.
//
// Not here: what a container is made of (package runtime), further processes
// in it (the agent runs those itself, so that they end with it).
package shim

import (
	"time"

	"dray/targets/logs"
)

// Names of files in a container's run folder.
const (
	ConfigName = "shim.json"
	socketName = "shim.sock"
	PidName    = "init.pid"
	ociLogName = "oci.log"
)

// ExitName is the file in the state folder that says how a container ended.
const ExitName = "exit.json"

// Config is what a shim is told.
type Config struct {
	ID       string      `json:"id"`
	StateDir string      `json:"state_dir"` // where exit.json goes
	LogDir   string      `json:"log_dir"`
	Limits   logs.Limits `json:"limits"`
	OCI      string      `json:"oci"`      // path of the OCI runtime
	OCIRoot  string      `json:"oci_root"` // its --root
	TTY      bool        `json:"tty,omitempty"`
	Stdin    bool        `json:"stdin,omitempty"` // keep standard input open for those who attach
}

// Exit says how a container's pid 1 ended.
type Exit struct {
	Pid       int       `json:"pid"`
	Code      int       `json:"code"` // 128+n for signal n
	OOMKilled bool      `json:"oom_killed,omitempty"`
	At        time.Time `json:"at"`
}

// ready is the line that a shim prints once, when the container is created or
// could not be.
type ready struct {
	Pid   int    `json:"pid,omitempty"`
	Error string `json:"error,omitempty"`
}

// Operations on a shim's socket. A client sends one request as a line of
// JSON; what follows depends on it.
const (
	opWatch  = "watch"  // the shim answers with an Exit as a line when the container ends
	opAttach = "attach" // output comes as frames (logs.FrameHeader); what the client sends is input
	opResize = "resize" // the shim closes the connection when it is done
)

type request struct {
	Op     string `json:"op"`
	Stdin  bool   `json:"stdin,omitempty"`
	Stdout bool   `json:"stdout,omitempty"`
	Stderr bool   `json:"stderr,omitempty"`
	Rows   uint16 `json:"rows,omitempty"`
	Cols   uint16 `json:"cols,omitempty"`
}
