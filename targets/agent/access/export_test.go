package access

import (
	"context"

	"dray/targets/api"
)

// HasRule tells whether a route is in the table.
func HasRule(pattern string) bool { _, ok := rights[pattern]; return ok }

// Ruled lists the routes in the table.
func Ruled() (patterns []string) {
	for pattern := range rights {
		patterns = append(patterns, pattern)
	}
	return patterns
}

// As is the context of a request on a connection with a role.
func As(ctx context.Context, role api.Role) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{role: role})
}
