// Package engineapi serves the part of the Docker Engine API that makes sense
// on a host of dray, so that "docker -H unix:///run/dray/agent.sock" and the
// tools that speak the API can look into containers and operate them.
//
// The way through it: New returns an API; API.ServeHTTP finds the handler,
// with or without a version before the path; API.Run keeps the events for
// those who ask later, and removes the containers that asked for it. Types
// are those of github.com/moby/moby/api. A call that dray does not have
// answers 501 with what to do instead, and a field of "create" that it does
// not have is refused by its name: nothing is ignored in silence.
//
// # Containers of a release
//
// Stopping, starting, killing and pausing one is honoured; "dray status" shows
// it as drift, and the next deployment puts it right. Removing one takes force
// ("docker rm -f"): a release without its container can't be gone back to.
// Containers that are created here belong to no release.
//
// Not here: releases (/dray/v1/, targets/agent), containers themselves
// (targets/runtime).
package engineapi
