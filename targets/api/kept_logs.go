package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"dray/pipeline/event"
)

// RouteReleaseLogs gives what the containers of a release wrote that did not
// become healthy and are gone: ?service=S (optional) &tail=N (0 is all) →
// stream of output events with Instance, Stream, Text and Time; its result is
// KeptLogs.
const RouteReleaseLogs = "GET " + environmentPattern + "/releases/{release}/logs"

// KeptLogs ends the answer to RouteReleaseLogs.
type KeptLogs struct {
	Instances []string `json:"instances"` // whose output was kept
}

// ReleaseLogs passes what the removed containers of a failed release wrote to
// sink. tail bounds the lines of each container; 0 is all.
func (e *EnvironmentClient) ReleaseLogs(ctx context.Context, release ReleaseNumber, service string, tail int, sink event.Sink) (*KeptLogs, error) {
	query := url.Values{"service": {service}, "tail": {strconv.Itoa(tail)}}
	path := e.path("releases", release.String(), "logs") + "?" + query.Encode()
	kept := &KeptLogs{}
	return kept, e.client.stream(ctx, http.MethodGet, path, nil, sink, kept)
}
