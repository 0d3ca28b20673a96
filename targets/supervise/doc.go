// Package supervise keeps the containers of a host running and knows how they
// are: it starts again what ended by itself, as its policy says, and asks each
// container with a check whether it is healthy.
//
// The way through it: Run follows the engine's changes. For each container
// that runs it keeps a watch, which checks and notes what it found with
// SetHealth; for each that ended and is still wanted it waits the policy's
// delay and starts it. Wait is for a deployment: it returns when a container
// has been healthy for a time, or as soon as it is plain that it will not be,
// with what was tried and what the container does instead.
//
// Checks go from the host straight to the container's address, so they say
// nothing about published ports.
//
// Not here: what should run at all, and which containers get connections
// (targets/agent).
package supervise
