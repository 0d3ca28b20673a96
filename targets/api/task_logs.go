package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"dray/pipeline/event"
)

// What tasks have written.
//
//	RouteTaskRuns  ?limit=N (0 is all) → []TaskRun of any release, newest first; none is no fault
//	RouteTaskLogs  a LogQuery          → stream of output events with Time, Stream and Text; its result is the TaskRun
const (
	RouteTaskRuns = "GET " + environmentPattern + "/tasks/{task}/runs"
	RouteTaskLogs = "GET " + environmentPattern + "/tasks/{task}/runs/{run}/logs"
)

// LogQuery chooses lines of what a program wrote.
type LogQuery struct {
	Tail         int // the last so many lines; 0 is all, less than 0 none
	Since, Until time.Time
	Follow       bool // go on with what comes until the program has ended
}

// Values returns the query as a request carries it.
func (q LogQuery) Values() url.Values {
	v := url.Values{}
	if q.Tail != 0 {
		v.Set("tail", strconv.Itoa(q.Tail))
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		v.Set("until", q.Until.Format(time.RFC3339Nano))
	}
	if q.Follow {
		v.Set("follow", "1")
	}
	return v
}

// LogQueryOf reads the query of a request.
func LogQueryOf(r *http.Request) (q LogQuery, err error) {
	if text := r.FormValue("tail"); text != "" {
		if q.Tail, err = strconv.Atoi(text); err != nil {
			return q, Errorf(CodeBadRequest, "reading tail: %v", err)
		}
	}
	for name, at := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		text := r.FormValue(name)
		if text == "" {
			continue
		}
		if *at, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return q, Errorf(CodeBadRequest, "reading %s: %v", name, err)
		}
	}
	q.Follow = r.FormValue("follow") != ""
	return q, nil
}

// TaskRuns returns the last limit runs of a task that the host remembers,
// whatever release they were of, newest first; 0 is all.
func (e *EnvironmentClient) TaskRuns(ctx context.Context, task string, limit int) ([]TaskRun, error) {
	list, err := get[[]TaskRun](ctx, e.client, e.path("tasks", task, "runs")+query("limit", uint64(max(limit, 0))))
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// TaskLogs passes what a run of a task wrote to sink, and returns the run as it
// is after that. A run whose output is not kept is an *Error of CodeNotFound.
func (e *EnvironmentClient) TaskLogs(ctx context.Context, task, run string, q LogQuery, sink event.Sink) (*TaskRun, error) {
	result := &TaskRun{}
	path := e.path("tasks", task, "runs", run, "logs") + "?" + q.Values().Encode()
	return result, e.client.stream(ctx, http.MethodGet, path, nil, sink, result)
}
