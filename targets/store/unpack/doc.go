// Package unpack turns layers into files, each in a process of its own.
//
// A layer is foreign: whoever made the image chose every byte that the
// decompressor and the tar reader see. They therefore run in a child of the
// daemon which can do little with what it is talked into:
//
//	daemon                                         child (Main)
//	Start ── stdin: a request; the layer ────────► confine ─► inflate ─► files
//	Wait  ◄─ stdout: reports, a JSON line each ─── took…, implicit…, opaque…, done or fault
//
// # What a child can do
//
//   - write in the folder of its layer, which is its root directory (chroot),
//     and where the kernel has landlock, nothing beyond reading, writing, making
//     and removing files there;
//   - own files for anybody and make device nodes, as layers ask: of root's
//     capabilities it has those named in confine.go. CAP_SYS_ADMIN is not among
//     them: what needs it (the mark of an opaque folder) the parent does, from a
//     report;
//   - see no process, network or message queue of the host: its namespaces are
//     its own;
//   - use so much memory: of its own at most, by RLIMIT_DATA; with the kernel's
//     for it, by the memory limit of a control group that a pull's children
//     share. It is the first that dies when the host runs out.
//
// It ends with its parent. Its reports are checked like the layer: they are
// bounded, and the folders that they name are opened below the layer's.
//
// # A child a layer, not a pull (2026-11)
//
// A start costs about 10 ms of processor time, less than a hundredth of a pull
// of 50 MB, and overlaps the download. One child for all would have to see the
// folders of all layers.
//
// # Not here
//
// Which layers there are, snapshots, what is verified and recorded: the store's.
package unpack
