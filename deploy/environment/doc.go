// Package environment is an environment as its hosts know it, together: what
// runs, what is kept, what the hosts swear, what has drifted, what is left of it
// on hosts that the file has taken out. It gives pipeline/run its environments.
//
//	Sessions ── one connection a host, for the whole run
//	   │
//	Opener ──── Open ──► Environment ── Running, Evidence, Releases, Before
//	   │                      └──────── Preview, Plan, Deploy, Abort, Recover, Down
//	   └─────── Look, Ask, Orphans: hosts that do not answer are part of the picture
//
// Not here: how one release gets onto the hosts (deploy), which release is meant
// and whether it may enter (pipeline/run), where images are (builder/images),
// what a person sees (cmd/internal/ui).
package environment
