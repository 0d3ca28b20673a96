package access_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"dray/targets/agent"
	"dray/targets/agent/access"
	"dray/targets/agent/engineapi"
	"dray/targets/api"
)

// served are the routes that a host serves; the distribution protocol has its own
// handler, and the two routes of identities are in front of the guard.
func served() []string {
	return slices.Concat(agent.Patterns(), engineapi.Patterns(), []string{"GET /v2/{path...}", "HEAD /v2/{path...}"})
}

// TestEveryRouteHasARight: a route that nobody gave a right is found here, and so
// is a right of a route that is gone.
func TestEveryRouteHasARight(t *testing.T) {
	routes := served()
	for _, pattern := range routes {
		if !access.HasRule(pattern) {
			t.Errorf("%s has no right in the table: it is admin's alone", pattern)
		}
	}
	for _, pattern := range access.Ruled() {
		if !slices.Contains(routes, pattern) {
			t.Errorf("%s has a right, and nobody serves it", pattern)
		}
	}
}

// inStage is what deploy:stage allows beside looking: in stage.
var inStage = []string{
	api.RouteAcquire, api.RouteRenew, api.RouteRelease, api.RouteFreeze, api.RouteUnfreeze, api.RoutePrepare, api.RouteSteps,
	api.RouteConfirm, api.RouteRevert, api.RouteHold, api.RouteRunTask, api.RouteRunService,
	"POST /containers/{id}/start", "POST /containers/{id}/stop", "POST /containers/{id}/restart", "POST /containers/{id}/kill",
	"POST /containers/{id}/pause", "POST /containers/{id}/unpause", "POST /containers/{id}/attach", "GET /containers/{id}/attach/ws",
	"POST /containers/{id}/resize", "POST /containers/{id}/exec", "POST /exec/{id}/start", "POST /exec/{id}/resize",
}

// reading tells whether a route only reads.
func reading(pattern string) bool {
	method, path, _ := strings.Cut(pattern, " ")
	switch pattern {
	case "GET /v2/{path...}", "GET /containers/{id}/attach/ws":
		return false
	case "POST /containers/{id}/wait":
		return true
	}
	return path != "" && (method == http.MethodGet || method == http.MethodHead)
}

// TestRolesOverRoutes walks every role over every route, in an environment that the
// role names and in another one, with and without the Engine API's version.
func TestRolesOverRoutes(t *testing.T) {
	none := func(string, string) bool { return false }
	for text, allows := range map[string]func(pattern, environment string) bool{
		"":     none,
		"look": func(p, _ string) bool { return reading(p) },
		"deploy:stage": func(p, environment string) bool {
			return reading(p) || p == "GET /v2/{path...}" || environment == "stage" && slices.Contains(inStage, p)
		},
		"deploy:shop/stage": func(p, environment string) bool {
			return reading(p) || p == "GET /v2/{path...}" || environment == "stage" && slices.Contains(inStage, p)
		},
		"deploy:blog/stage": func(p, _ string) bool { return reading(p) || p == "GET /v2/{path...}" },
		"approve:stage": func(p, environment string) bool {
			return reading(p) || environment == "stage" && p == api.RouteApprove
		},
		"look,approve:prod": func(p, environment string) bool {
			return reading(p) || environment == "prod" && p == api.RouteApprove
		},
		"admin": func(string, string) bool { return true },
	} {
		role := api.Role{}
		if text != "" {
			var err error
			if role, err = api.ParseRole(text); err != nil {
				t.Fatal(err)
			}
		}
		for _, pattern := range served() {
			for _, environment := range []string{"stage", "prod"} {
				for _, prefix := range []string{"", "/v1.47"} {
					if prefix != "" && !slices.Contains(engineapi.Patterns(), pattern) {
						continue
					}
					passed, fault := ask(t, role, prefix, pattern, environment)
					if want := allows(pattern, environment); passed != want {
						t.Errorf("role %q, %s%s in %s: passed %t, want %t", text, prefix, pattern, environment, passed, want)
					}
					if !passed && (fault.Code != api.CodeForbidden || fault.Role == "" || !strings.Contains(fault.Message, fault.Role)) {
						t.Errorf("role %q, %s: the refusal is %+v", text, pattern, fault)
					}
				}
			}
		}
	}
}

// TestUnknownRoutesAreAdmins: what is not in the table is nobody else's.
func TestUnknownRoutesAreAdmins(t *testing.T) {
	for _, pattern := range []string{"POST /dray/v1/new", "GET /dray/v1/projects/shop/environments/stage/new", "PUT /containers/web/archive", "CONNECT /x"} {
		deploys, err := api.ParseRole("look,deploy:stage,approve:stage")
		if err != nil {
			t.Fatal(err)
		}
		if passed, _ := ask(t, deploys, "", pattern, "stage"); passed {
			t.Errorf("%s was passed on", pattern)
		}
		if passed, _ := ask(t, api.Admin(), "", pattern, "stage"); !passed {
			t.Errorf("%s was refused to admin", pattern)
		}
	}
}

// ask asks a guarded handler, and returns whether it was asked, or the refusal.
func ask(t *testing.T, role api.Role, prefix, pattern, environment string) (passed bool, fault api.Error) {
	t.Helper()
	method, path, _ := strings.Cut(pattern, " ")
	path = prefix + strings.NewReplacer("{project}", "shop", "{environment}", environment, "{id}", "web-"+environment,
		"{name...}", "shop/web", "{path...}", "shop/web/blobs/x").Replace(path)
	path = strings.NewReplacer("{", "", "}", "").Replace(path)
	guard := access.Guard(access.GuardConfig{
		Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			if r.URL.Path != path {
				t.Errorf("%s came as %s", path, r.URL.Path)
			}
		}),
		Containers: labelled{}, Unversioned: engineapi.Unversioned,
	})
	answer := httptest.NewRecorder()
	guard.ServeHTTP(answer, httptest.NewRequestWithContext(access.As(t.Context(), role), method, path, nil))
	if !passed {
		if answer.Code != http.StatusForbidden {
			t.Errorf("%s %s: status %d", method, path, answer.Code)
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &fault); err != nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
	}
	return passed, fault
}

// labelled has containers and processes that are called after their environments.
type labelled struct{}

func (labelled) OfContainer(id string) (project, environment string) {
	_, environment, _ = strings.Cut(id, "-")
	return "shop", environment
}

func (l labelled) OfExec(id string) (project, environment string) { return l.OfContainer(id) }
