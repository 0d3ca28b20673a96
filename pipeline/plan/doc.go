// Package plan compares what is desired with what runs, and says what a
// deployment would do: where instances go (Place), what changes, what drifted
// and how long it takes (New), for a person (Plan.Render) or as JSON. It is
// pure and deterministic.
//
// It knows nothing of hosts' agents: callers put what they observed into
// Observed values. Batches, and what they mean to people, are deploy/strategy's:
// callers hand its answer in (Foresee).
package plan
