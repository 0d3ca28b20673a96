package agent

import (
	"context"
	"net/netip"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/runtime"
)

// Parts are what the agent works with on its host. Every call must be safe to
// repeat: after a crash the agent does not know whether the last one was done.
type Parts struct {
	Containers Containers
	Health     Health
	Logs       Logs
	Images     Images
	Traffic    Traffic
	Volumes    Volumes
}

// Containers runs containers; targets/runtime is the one that exists.
type Containers interface {
	List() []runtime.Container
	// Create makes a container ready to start. One of the same name is a fault.
	Create(ctx context.Context, spec runtime.Spec) (runtime.Container, error)
	// Start lets a created container go, or starts an exited one again. One
	// that runs already is no fault.
	Start(ctx context.Context, id string) error
	// StartWanted starts one that has ended and that nobody has stopped since.
	// Another one stays as it is, which is no fault.
	StartWanted(ctx context.Context, id string) error
	// Stop asks a container to end and waits for it: its signal, its grace,
	// then SIGKILL. One that does not run, or does not exist, is no fault.
	Stop(ctx context.Context, id string) error
	// Wait waits until a container does not run, and returns it.
	Wait(ctx context.Context, id string) (runtime.Container, error)
	// WaitEnd waits until a container that was created has run and ended, or was
	// removed, and returns it. It calls ready once it would miss no end.
	WaitEnd(ctx context.Context, id string, ready func()) (runtime.Container, error)
	// Remove takes a container away, running or not. One that does not exist
	// is no fault.
	Remove(ctx context.Context, id string) error
	// Watch calls changed, which does not block, for every change from now on,
	// until stop is called.
	Watch(changed func(runtime.Change)) (stop func())
}

// Health judges containers; targets/supervise is the one that exists.
type Health interface {
	// Wait waits until a container has been healthy for the time min; without
	// a check, until it has run for that long. The fault says what the last
	// check found, as the person should read it.
	Wait(ctx context.Context, id string, min time.Duration) error
}

// Logs reads what containers wrote.
type Logs interface {
	// Last returns the last n lines of a container, oldest first.
	Last(id string, n int) []string
	// Follow passes every line from the container's start to line, and returns
	// when the container has ended and all was passed.
	Follow(ctx context.Context, id string, line func(stream, text string)) error
	// Keep puts a container's log where Remove does not reach it.
	Keep(id, folder string) error
	// Read passes the wanted lines of a container to line. A query that
	// follows ends with the container.
	Read(ctx context.Context, id string, q api.LogQuery, line func(at time.Time, stream, text string)) error
	// ReadKept passes the wanted lines of what Keep has put there.
	ReadKept(ctx context.Context, folder string, q api.LogQuery, line func(at time.Time, stream, text string)) error
}

// PullRequest says which image is wanted and where it may be had.
type PullRequest struct {
	Digest  string
	Name    string // for people
	Size    int64  // what the client thinks it weighs; 0 when it does not know
	Sources []api.ImageSource
	Sink    event.Sink
}

// Images holds images; targets/store is the one that exists.
type Images interface {
	// Pull has an image complete, verified and unpacked, and returns how many
	// bytes travelled.
	Pull(ctx context.Context, p PullRequest) (received int64, err error)
	// Volumes lists the folders of an image's VOLUMEs.
	Volumes(ctx context.Context, digest string) ([]string, error)
	// Collect drops what none of the needed images needs. What is pulled after
	// it has asked for them stays.
	Collect(ctx context.Context, c Collection) (api.PruneResult, error)
}

// Collection says what may be dropped.
type Collection struct {
	Needed func() ([]string, error) // digests of images; asked once
	DryRun bool
	// Recent drops also what arrived lately and no image needs: what a deployment
	// that failed had fetched stays otherwise, to go on from.
	Recent bool
}

// Route is where new connections of one service go.
type Route struct {
	Network  string
	Service  string
	Ports    []pipeline.Port // of the newest release that has the service
	Backends []Backend
}

// Backend is one container of a service, with the ports of its release.
type Backend struct {
	Address netip.Addr
	Ports   []pipeline.Port
}

// Traffic moves connections; targets/network is the one that exists.
type Traffic interface {
	// Ensure has a network exist, and these services have a name in it.
	Ensure(ctx context.Context, network string, services []string) error
	// Reserve holds the published ports of a service, so that nothing else
	// takes them. A port that is taken is an *api.Error of CodePort.
	Reserve(ctx context.Context, network, service string, ports []pipeline.Port) error
	// Switch has new connections go to these backends, all at once. A service
	// without backends refuses connections; its ports stay held.
	Switch(ctx context.Context, routes []Route) error
	// Verify reads back that the host does for a network what it was told: its
	// addresses, where connections to its services and their ports go, and the
	// names that its containers know. What differs, and can't be put right, is
	// a fault.
	Verify(ctx context.Context, network string) error
	// Drained waits until no connection to any of the addresses is left.
	Drained(ctx context.Context, addresses []netip.Addr) error
	// Release lets go of the ports of a network's services that are not among
	// keep.
	Release(ctx context.Context, network string, keep []Route) error
	// Remove takes a network away, with its services and ports.
	Remove(ctx context.Context, network string) error
}

// Volumes holds data that outlives containers; targets/volume is the one that
// exists.
type Volumes interface {
	// Ensure has a named volume of an environment exist, and returns its path.
	Ensure(ctx context.Context, network, name string) (path string, err error)
	// Fill gives a volume that is empty what an image has at the path where it
	// will be mounted.
	Fill(ctx context.Context, network, name, image, destination string) error
	// List names the volumes of an environment.
	List(network string) ([]string, error)
	// Remove deletes a volume with its data.
	Remove(ctx context.Context, network, name string) error
}
