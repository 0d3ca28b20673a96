// Package config reads dray.hcl and the files next to it into a
// pipeline.Project, and keeps the lock file.
//
// The way through it: Load finds and parses the files (files.go), evaluates
// variables and locals in the order of their references (scope.go, context.go),
// puts what for_each, matrix and dynamic blocks stand for in their place
// (expand.go, matrix.go, bound.go), opens each block against its schema
// (schema.go, block.go), decodes it (one file a kind of block) and checks what
// only shows when all is known (check.go). Every fault found on the way is kept;
// none stops the others from being found. Diagnostics carry the place, the cause and the fix, and render
// themselves for a terminal, a pipe or as JSON (diagnostic.go, render.go).
//
// Decoders set only what a block sets. So the same decoder reads a service and
// an environment's changes to it, and a target and the targets it inherits
// from: each is decoded onto a copy of what it builds on.
//
// Not here: reaching hosts, building, and where secret values come from.
package config
