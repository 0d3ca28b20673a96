package access

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"

	"dray/targets/api"
)

// Containers finds the environment of a container: by the id or name of the
// container, or by the id of a process that was started in it. Of none, or of a
// container that belongs to no environment, both words are "".
type Containers interface {
	OfContainer(id string) (project, environment string)
	OfExec(id string) (project, environment string)
}

// GuardConfig says what a Guard guards.
type GuardConfig struct {
	Next       http.Handler
	Containers Containers
	// Unversioned takes the version of the Engine API off a request's path.
	Unversioned func(path string) string
	// Routes are the patterns that Next serves. Whoever adds one without a rule
	// reads so in the log: it is for admins alone.
	Routes []string
	Log    *slog.Logger // nil is none
}

// Guard passes a request on if the role of its connection has the right that its
// route takes.
func Guard(c GuardConfig) http.Handler {
	routes := http.NewServeMux()
	for pattern, rule := range rights {
		routes.HandleFunc(pattern, c.check(rule))
	}
	routes.HandleFunc("/", c.check(admins))
	for _, pattern := range c.Routes {
		if _, ruled := rights[pattern]; !ruled && c.Log != nil {
			c.Log.Warn("a route has no right of its own, and is for admins alone", "route", pattern)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bare := r.Clone(context.WithValue(r.Context(), requestKey{}, r))
		if path := c.Unversioned(r.URL.Path); path != r.URL.Path {
			bare.URL.Path, bare.URL.RawPath = path, ""
		}
		routes.ServeHTTP(w, bare)
	})
}

// requestKey leads from the request that rules are looked up for to the one that
// came.
type requestKey struct{}

// check is what stands before the handlers of routes with one rule.
func (c GuardConfig) check(rule rule) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		project, environment := c.environment(rule.of, r)
		_, role := Of(r.Context())
		may := role.May(rule.right, project, environment)
		if rule.of == ofAny {
			may = role.MaySomewhere(rule.right)
		}
		if !may {
			refuse(w, http.StatusForbidden, Forbidden(role, rule.right, environment, r.Method+" "+r.URL.Path))
			return
		}
		c.Next.ServeHTTP(w, r.Context().Value(requestKey{}).(*http.Request))
	}
}

func (c GuardConfig) environment(of scope, r *http.Request) (project, environment string) {
	switch of {
	case ofPath:
		return r.PathValue("project"), r.PathValue("environment")
	case ofContainer:
		return c.Containers.OfContainer(r.PathValue("id"))
	case ofExec:
		return c.Containers.OfExec(r.PathValue("id"))
	}
	return "", ""
}

// Forbidden is the refusal of what a role may not do.
func Forbidden(role api.Role, right api.Right, environment, what string) *api.Error {
	needed := api.Needed(right, environment)
	fault := api.Errorf(api.CodeForbidden, "role %s of this connection does not allow that (%s): it takes %s", cmp.Or(role.String(), "none"), what, needed)
	fault.Role = needed
	return fault
}
