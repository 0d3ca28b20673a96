// Package agent is the daemon of a host: it takes releases through /dray/v1/,
// journals what it is about to do, and brings the host there and back.
package agent
