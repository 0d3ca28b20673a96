// Package runtimesuite runs runc's own integration tests, those of the linked
// version, against dray-oci beside runc, and holds dray-oci to what runc
// passes: each test that runc passes and dray-oci fails needs a reason in
// reasons.txt, and a reason that no longer holds is a fault, too.
//
// The way through it: New copies the module into a folder of its own, builds
// runc and the programs of its tests there, and makes the images that the tests
// would download out of this machine's programs. Run walks the files of tests,
// each first with runc and then with dray-oci; Report compares.
//
// Each file runs in namespaces of its own (mount, pid, network) on a terminal
// of its own, so that what a test leaves behind ends with it. Groups are the
// exception: the tests make theirs under runc-cgroups-integration-test in the
// machine's hierarchies, and what is left of them is removed at the end.
package runtimesuite
