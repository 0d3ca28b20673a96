// Package builder says what a builder promises: a target becomes an image
// whose bytes lie in this user's image store, under their digests.
//
// The implementation is in builder/buildkit, the only importer of BuildKit;
// images on their way to registries and hosts are in builder/registry. This
// package has the values that both sides of a build agree on, and how a build
// fails.
//
// What every Builder holds to:
//
//   - The bytes end in Result.Store, whichever machine built them, and only
//     those that were not there before are written.
//   - Two clean builds of the same files, with the same bases, give the same
//     digest. Neither a file in a layer that the build made nor the image itself is
//     younger than LayerTime.
//   - Secrets reach the steps that ask for them, and nothing else: neither
//     image, nor cache, nor events.
//   - A build that fails returns a *Failure, which says where.
//
// 2026-11: layers carry one constant time, not the commit's. With the commit's
// time every commit would change every layer of the image, and each host would
// receive all of them again; and a file that was checked out before its commit
// was made would differ from the same file in a fresh clone. Cloud Native
// Buildpacks and Jib decided the same. A server that derives ETags from a
// file's time and size only should be told to use the content.
package builder

import (
	"context"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
)

// LayerTime is the latest modification time of a file in a layer that a build
// made: older times stay, later ones become this. It is the first second that
// a zip archive can hold, the constant that Cloud Native Buildpacks use.
var LayerTime = time.Date(1980, 1, 1, 0, 0, 1, 0, time.UTC)

// Builder turns targets into images.
type Builder interface {
	// Build builds one target. Progress goes to sink, with Stage "build" and
	// the target's name as the Subject. It returns a *Failure when the target's
	// own files or steps are at fault, another error when the builder is.
	Build(ctx context.Context, req Request, sink event.Sink) (Result, error)
}

// Request is one build.
type Request struct {
	Target  pipeline.Target
	Dir     string            // absolute folder of the project; relative paths of Target start here
	NoCache bool              // as well as Target.NoCache
	Built   map[string]Result // targets that contexts name as "target:NAME"
	Pins    map[string]string // image reference as in FROM → the digest to use for it
	Leave   []string          // files and folders in Dir that no context includes: secrets, and what a build itself causes to be written
}

// Result is a built image.
type Result struct {
	Digest    string // "sha256:…" of the manifest, or of the index for several platforms
	MediaType string // of the manifest or index
	Size      int64  // of the manifest or index, in bytes
	Store     string // folder of the content store that holds the bytes: blobs/sha256/HEX
	Total     int64  // bytes of all blobs, compressed
	Written   int64  // bytes of those that the store did not have before
	Bases     []Base // images that the build started from or copied from
}

// Base is an image that a build read.
type Base struct {
	Reference string // as in the Dockerfile, made whole: "docker.io/library/debian:12"; with "@DIGEST" where that says the digest and no tag
	Digest    string
}
