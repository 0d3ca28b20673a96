// Package journal is what an agent keeps on disk: a record of each environment,
// each deployment with its release, what has happened, and each run of a task.
// It is one bbolt file, in which every commit is an fsync: what lies between
// two commits is exactly what a crash can lose.
//
// The way through it: Open, then Update and View with a Tx. A deployment is made
// by Tx.Begin and changed by Tx.Amend alone, and both ask the one table of legal
// transitions (transitions.go): a change that the table does not know is an
// error, and nothing is written.
//
// A value that can't be read is an error of its own record: EachEnvironment and
// EachRun pass it on with the key, and go on with the others. Values are JSON,
// so that a newer agent can add fields and an older one ignores them.
//
// Not here: what is done because of a record, and who may do it when
// (targets/agent).
package journal
