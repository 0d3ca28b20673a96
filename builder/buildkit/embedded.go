package buildkit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"dray/pipeline"
)

// Embedded says how this user's own builder runs. Ensure hands it to the
// server that it starts; Serve reads it there.
type Embedded struct {
	Dir          string              `json:"dir"`                   // absolute folder of its state: cache, lock, log
	Command      []string            `json:"command,omitempty"`     // starts the server; the options arrive on its stdin
	Version      string              `json:"version,omitempty"`     // dray's; a server of another one is replaced when it is idle
	Runtime      string              `json:"runtime,omitempty"`     // OCI runtime; found by FindRuntime when empty
	Idle         pipeline.Duration   `json:"idle,omitempty"`        // ends after so long without a client; 10m by default
	Keep         pipeline.Bytes      `json:"keep,omitempty"`        // build cache kept; 10 GB by default
	KeepFor      pipeline.Duration   `json:"keep_for,omitempty"`    // what has not been used for so long goes; 60 days by default
	Mirrors      map[string][]string `json:"mirrors,omitempty"`     // registry host → URLs asked before it; http only for loopback
	Snapshotter  string              `json:"snapshotter,omitempty"` // overlayfs or native; chosen by itself when empty
	CgroupParent string              `json:"cgroup,omitempty"`      // of RUN steps; /dray-build by default
	Debug        bool                `json:"debug,omitempty"`       // log more
}

const (
	defaultIdle         = 10 * time.Minute
	defaultKeep         = 10_000_000_000
	defaultKeepFor      = 60 * 24 * time.Hour
	defaultCgroupParent = "/dray-build"
	maxSocketPath       = 100 // sun_path holds 108 bytes
)

func (o Embedded) withDefaults() Embedded {
	if o.Idle <= 0 {
		o.Idle = pipeline.Duration(defaultIdle)
	}
	if o.Keep <= 0 {
		o.Keep = defaultKeep
	}
	if o.KeepFor <= 0 {
		o.KeepFor = pipeline.Duration(defaultKeepFor)
	}
	if o.CgroupParent == "" {
		o.CgroupParent = defaultCgroupParent
	}
	return o
}

// fingerprint tells two servers apart that would answer differently. It knows
// the program by size and time, not by its bytes: hashing those would cost
// more than a build that has nothing to do.
func (o Embedded) fingerprint() (string, error) {
	o = o.withDefaults()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	info, err := os.Stat(self)
	if err != nil {
		return "", err
	}
	o.Command = nil
	settings, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%d %d %s", info.Size(), info.ModTime().UnixNano(), settings)
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// socket is where the server listens for builds, control where it answers
// Status and Stop. A folder whose path is too long for a socket gets a short
// one in the temporary folder.
func (o Embedded) socket() string  { return filepath.Join(o.socketDir(), "buildkit.sock") }
func (o Embedded) control() string { return filepath.Join(o.socketDir(), "control.sock") }

func (o Embedded) socketDir() string {
	if len(o.Dir)+len("/buildkit.sock") <= maxSocketPath {
		return o.Dir
	}
	sum := sha256.Sum256([]byte(o.Dir))
	return filepath.Join(os.TempDir(), "dray-"+strconv.Itoa(os.Getuid())+"-"+hex.EncodeToString(sum[:])[:12])
}

func (o Embedded) cacheDir() string     { return filepath.Join(o.Dir, "cache") }
func (o Embedded) lockFile() string     { return filepath.Join(o.Dir, "lock") }
func (o Embedded) identityFile() string { return filepath.Join(o.Dir, "server.json") }

// LogFile is where the server writes what it does.
func (o Embedded) LogFile() string { return filepath.Join(o.Dir, "server.log") }

// identity is what a server writes about itself once it is ready.
type identity struct {
	PID         int       `json:"pid"`
	Version     string    `json:"version"`
	Fingerprint string    `json:"fingerprint"`
	Started     time.Time `json:"started"`
}

func (o Embedded) readIdentity() (identity, error) {
	var id identity
	data, err := os.ReadFile(o.identityFile())
	if err != nil {
		return id, err
	}
	return id, json.Unmarshal(data, &id)
}

// Status is what a running server says of itself.
type Status struct {
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Clients   int       `json:"clients"` // connected now
	IdleSince time.Time `json:"idle_since,omitzero"`
	Socket    string    `json:"socket"` // for BUILDKIT_HOST: unix://SOCKET
	Log       string    `json:"log"`
}
