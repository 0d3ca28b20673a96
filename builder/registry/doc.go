// Package registry holds images as values and both ends of the OCI
// distribution protocol.
//
// The words:
//
//   - A Source is a place that has content by digest: a registry (Remote), a
//     handler behind a dialer (Peer, Dial), a content store (Local). Sources
//     compose: Limit shows only what some roots reach.
//   - A Store is one user's images: a containerd content store and a durable
//     index of names.
//   - Handler serves any Source as a registry; with a Store behind it, it
//     takes pushes too.
//   - Image and Index read an image of a Source as go-containerregistry's
//     values; Push sends one to a registry.
//
// A relay is Handler(Limit(source, roots), …): whoever reads the handler
// reads through it from wherever the bits are.
//
// # Trust
//
// A Source is not trusted. Whoever reads content from one compares the digest
// (ReadAll does). A manifest is foreign bytes: ParseManifest bounds and
// checks it.
//
// Blobs are not kept apart by repository: whoever may read a handler may read
// all that its Source shows. Limit is the way to show less.
//
// # Not here
//
// Unpacking layers (targets/store) and building images (builder).
package registry
