//go:build race

package agent

// raced says that the race detector runs, under which all takes ten times as
// long.
const raced = true
