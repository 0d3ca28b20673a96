// Package store keeps a host's images: content, layers as snapshots, and what
// containers write. It works on containerd's libraries without a containerd.
//
// The words:
//
//   - content is blobs by digest, as they travelled (content/);
//   - a layer is unpacked into a snapshot named by its chain id, shared by all
//     images that begin with the same layers (overlay/ or native/);
//   - a container adds one writable snapshot, named by its id;
//   - an image is a record that ties a digest to a chain and a config
//     (store.db). It is written last: a record means that all of it is there
//     and on the disk.
//
// # The way of a pull
//
//	resolve ─► index ─► manifest, config ─► space ─► layers, several at once ─► sync ─► commit ─► record
//	                                                  download ┬► content (sha256)
//	                                                           └► unpack (a child) ─► diff id, files
//
// Layers are unpacked while they arrive and beside each other: an overlay
// layer is a folder of its own. They become snapshots in order, once all are
// complete, verified and synced.
//
// # What is durable when (2026-11)
//
// A blob is synced when it is committed to content. Unpacked files are synced
// by one syncfs per pull, before the first of the pull's snapshots is
// recorded, instead of by one fsync a file. After a power cut there are
// therefore unfinished folders, which Open removes, but no recorded layer with
// empty files in it.
//
// # Why not containerd's metadata database (2026-11)
//
// core/metadata would bring leases and a garbage collector, and with them grpc,
// ttrpc and OpenTelemetry: 6 MB of binary, 1.7 MB compressed, a sixth of what
// the host's binaries may weigh. A host's store has one owner and one
// namespace, so roots are few and known: Retain, containers, pulls that are
// under way.
//
// # Compressed blobs after unpacking
//
// They are kept, so that a host can hand its image on to the next environment.
// Options.DropLayers removes them once they are unpacked, which halves a
// release's size on the disk; such a host can't be relayed from, and an image
// is fetched again if its snapshot goes.
//
// # Not here
//
// Mounting (Mount returns what to mount; targets/runtime mounts it), and the
// distribution protocol (builder/registry).
package store
