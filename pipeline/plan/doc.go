// Package plan compares what is desired with what runs, and says what a
// deployment would do: where instances go (Place), what changes and what
// drifted. It is pure and deterministic.
package plan
