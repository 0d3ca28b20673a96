package access

import "dray/targets/api"

// rule is what a route takes: a right, and in which environment.
type rule struct {
	right api.Right
	of    scope
}

// scope says whose environment a request is about.
type scope int

const (
	ofHost      scope = iota // none's
	ofPath                   // {project} and {environment} of the path
	ofContainer              // that of the container {id}
	ofExec                   // that of the container in which the process {id} runs
	ofAny                    // any: who has the right somewhere has it here
)

var (
	looks   = rule{api.RightLook, ofHost}
	admins  = rule{api.RightAdmin, ofHost}
	deploys = rule{api.RightDeploy, ofPath}
	works   = rule{api.RightDeploy, ofContainer}
)

// rights is what every route takes. A route that is not here is admin's alone.
var rights = map[string]rule{
	api.RouteHost:         looks,
	api.RouteEnvironments: looks,
	api.RouteEnvironment:  looks,
	api.RouteHistory:      looks,
	api.RouteReleases:     looks,
	api.RouteRevisions:    looks,
	api.RouteEvidence:     looks,
	api.RouteAilment:      looks,
	api.RouteTasks:        looks,
	api.RouteTaskRuns:     looks,
	api.RouteTaskLogs:     looks,
	api.RouteReleaseLogs:  looks,
	api.RouteEvents:       looks,

	api.RouteAcquire:    deploys,
	api.RouteRenew:      deploys,
	api.RouteRelease:    deploys,
	api.RouteFreeze:     deploys,
	api.RouteUnfreeze:   deploys,
	api.RoutePrepare:    deploys, // what of it reaches the host takes admin: see the agent's validate
	api.RouteSteps:      deploys,
	api.RouteConfirm:    deploys, // approving in it takes approve
	api.RouteRevert:     deploys,
	api.RouteHold:       deploys,
	api.RouteRunTask:    deploys,
	api.RouteRunService: deploys,
	api.RouteApprove:    {api.RightApprove, ofPath},

	api.RouteDown:  admins, // data goes with it
	api.RoutePrune: admins, // it is about all environments

	// The distribution protocol: who deploys brings images from host to host.
	"HEAD /v2/{path...}": looks,
	"GET /v2/{path...}":  {api.RightDeploy, ofAny},

	// The Docker Engine API.
	"GET /_ping":                     looks,
	"GET /version":                   looks,
	"GET /info":                      looks,
	"GET /events":                    looks,
	"GET /system/df":                 looks,
	"GET /containers/json":           looks,
	"GET /containers/{id}/json":      looks,
	"GET /containers/{id}/logs":      looks,
	"GET /containers/{id}/stats":     looks,
	"GET /containers/{id}/top":       looks,
	"POST /containers/{id}/wait":     looks,
	"GET /exec/{id}/json":            looks,
	"GET /images/json":               looks,
	"GET /images/{name...}":          looks,
	"GET /networks":                  looks,
	"GET /networks/{id}":             looks,
	"GET /volumes":                   looks,
	"GET /volumes/{name...}":         looks,
	"GET /swarm":                     looks,
	"POST /containers/{id}/start":    works,
	"POST /containers/{id}/stop":     works,
	"POST /containers/{id}/restart":  works,
	"POST /containers/{id}/kill":     works,
	"POST /containers/{id}/pause":    works,
	"POST /containers/{id}/unpause":  works,
	"POST /containers/{id}/attach":   works,
	"GET /containers/{id}/attach/ws": works,
	"POST /containers/{id}/resize":   works,
	"POST /containers/{id}/exec":     works,
	"POST /exec/{id}/start":          {api.RightDeploy, ofExec},
	"POST /exec/{id}/resize":         {api.RightDeploy, ofExec},
	"POST /containers/{id}/rename":   admins,
	"POST /containers/{id}/update":   admins,
	"DELETE /containers/{id}":        admins,
	"POST /containers/create":        admins, // of no environment, with any mount
	"POST /containers/prune":         admins,
	"POST /images/create":            admins,
	"POST /images/prune":             admins,
	"POST /build":                    admins,
	"POST /networks/create":          admins,
	"POST /volumes/create":           admins,
	"DELETE /volumes/{name...}":      admins,
	"POST /auth":                     admins,
}
