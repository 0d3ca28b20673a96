package api

import (
	"context"
	"encoding/json"
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
	resp, err := e.client.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read only: nothing can be lost
	for lines := json.NewDecoder(resp.Body); ; {
		var line StreamLine
		if err := lines.Decode(&line); err != nil {
			return nil, cutError(ctx, path, err)
		}
		switch {
		case line.Error != nil:
			return nil, line.Error
		case line.Result != nil:
			kept := &KeptLogs{}
			return kept, json.Unmarshal(line.Result, kept)
		case line.Event != nil && sink != nil:
			sink.Emit(*line.Event)
		}
	}
}
