package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// Routes of /dray/v1/, as patterns of http.ServeMux. Requests and answers are
// JSON; "→ stream" is an answer of StreamLines that ends with the named
// result.
//
//	RouteHost            -                     → Host
//	RouteEvents          -                     → lines of event.Event without end: all of this host, from now on
//	RouteEnvironments    ?project=P (optional) → []Environment
//	RoutePrune           Prune                 → PruneResult
//	RouteEnvironment     -                     → Environment; one that is not known here is CodeNotFound
//	RouteHistory         ?limit=N              → []Record, newest first
//	RouteReleases        -                     → []Release kept on this host, newest first
//	RouteRevisions       -                     → []string: by revision, from 0, the content (pipeline.Release.ContentHash) that came here under the number; "" where none did
//	RouteEvidence        -                     → a DSSE envelope (an in-toto statement) as JSON; CodeNotFound when the release was never confirmed here
//	RouteAcquire         AcquireLease          → Lease
//	RouteRenew           RenewLease            → Lease
//	RouteRelease         ?fence=N              → 204
//	RouteFreeze          SetFreeze             → Freeze
//	RouteUnfreeze        -                     → 204
//	RouteApprove         Approve               → Approval
//	RoutePrepare         Prepare               → stream PrepareResult
//	RouteSteps           Steps                 → stream StepsResult
//	RouteAilment         ?instance=I           → Error: why an instance of a deployment under way is not healthy; CodeConflict when it is
//	RouteConfirm         Confirm               → Record
//	RouteRevert          Revert                → stream StepsResult
//	RouteHold            Hold                  → stream Environment
//	RouteDown            Down                  → stream DownResult
//	RouteTasks           ?limit=N              → []TaskStatus, with their last N runs
//	RouteRunTask         RunTask               → stream TaskRun; the task's output is events of type output
//	RouteRunService      RunService            → stream ServiceRun; see run_service.go
//	RouteTaskRuns        ?limit=N              → []TaskRun, newest first; see task_logs.go
//	RouteTaskLogs        LogQuery              → stream TaskRun
//
// Beside them, on the same socket: the Docker Engine API, and /v2/, the OCI
// distribution protocol over the host's store (read only), by which one host's
// image is relayed to another.
const (
	RouteHost         = "GET " + prefix + "/host"
	RouteEvents       = "GET " + prefix + "/events"
	RouteEnvironments = "GET " + prefix + "/environments"
	RoutePrune        = "POST " + prefix + "/prune"
	RouteEnvironment  = "GET " + environmentPattern
	RouteHistory      = "GET " + environmentPattern + "/history"
	RouteReleases     = "GET " + environmentPattern + "/releases"
	RouteRevisions    = "GET " + environmentPattern + "/releases/{number}/revisions"
	RouteEvidence     = "GET " + environmentPattern + "/releases/{release}/evidence"
	RouteAcquire      = "POST " + environmentPattern + "/lease"
	RouteRenew        = "PUT " + environmentPattern + "/lease"
	RouteRelease      = "DELETE " + environmentPattern + "/lease"
	RouteFreeze       = "PUT " + environmentPattern + "/freeze"
	RouteUnfreeze     = "DELETE " + environmentPattern + "/freeze"
	RouteApprove      = "POST " + environmentPattern + "/approvals"
	RoutePrepare      = "POST " + environmentPattern + "/deployments"
	RouteSteps        = "POST " + environmentPattern + "/deployments/{deployment}/steps"
	RouteAilment      = "GET " + environmentPattern + "/deployments/{deployment}/ailment"
	RouteConfirm      = "POST " + environmentPattern + "/deployments/{deployment}/confirm"
	RouteRevert       = "POST " + environmentPattern + "/deployments/{deployment}/revert"
	RouteHold         = "POST " + environmentPattern + "/deployments/{deployment}/hold"
	RouteDown         = "POST " + environmentPattern + "/down"
	RouteTasks        = "GET " + environmentPattern + "/tasks"
	RouteRunTask      = "POST " + environmentPattern + "/tasks/{task}/runs"

	prefix             = "/dray/v1"
	environmentPattern = prefix + "/projects/{project}/environments/{environment}"
)

// ActorHeader carries the Actor of a request, as JSON.
const ActorHeader = "Dray-Actor"

// ContentStream is the Content-Type of an answer that is a stream.
const ContentStream = "application/x-ndjson"

// ActorOf returns the Actor that a request names, or the zero Actor. Its identity
// is nobody's: only the agent knows whose the connection is.
func ActorOf(r *http.Request) (Actor, error) {
	var a Actor
	text := r.Header.Get(ActorHeader)
	if text == "" {
		return a, nil
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return Actor{}, Errorf(CodeBadRequest, "reading header %s: %v", ActorHeader, err)
	}
	a.Identity = Identity{}
	return a, nil
}

// Status returns the HTTP status that a code is answered with.
func Status(code string) int {
	switch code {
	case CodeBadRequest:
		return http.StatusBadRequest
	case CodeNotFound:
		return http.StatusNotFound
	case CodeLocked:
		return http.StatusLocked
	case CodeFenced:
		return http.StatusPreconditionFailed
	case CodeConflict:
		return http.StatusConflict
	case CodeForbidden:
		return http.StatusForbidden
	case CodePort, CodeSpace, CodeImage, CodeUnhealthy:
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}

// EnvironmentPath returns the path of an environment, with sub (such as
// "lease") behind it.
func EnvironmentPath(project, environment string, sub ...string) string {
	p := fmt.Sprintf("%s/projects/%s/environments/%s", prefix, url.PathEscape(project), url.PathEscape(environment))
	for _, s := range sub {
		p += "/" + url.PathEscape(s)
	}
	return p
}

func query(name string, n uint64) string {
	return "?" + name + "=" + strconv.FormatUint(n, 10)
}
