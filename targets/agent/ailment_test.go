package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dray/targets/api"
)

// TestAilment: a deployer that no longer waits for an instance learns what is
// wrong with it, and nothing changes.
func TestAilment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		w.sick[digest(11)] = true
		r := w.boot(0)
		defer r.stop()
		s := &sequence{t: t, id: "d2", r: second}
		if err := s.begin(r); err != nil {
			t.Fatal(err)
		}
		waiting, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := r.Steps(waiting, s.id, api.Steps{Fence: s.fence, Steps: forward[:1]}, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("starting web/1: %v", err)
		}
		fault, err := r.Ailment(t.Context(), s.id, "web/1")
		if err != nil || fault.Code != api.CodeUnhealthy || fault.Service != "web" || len(fault.Logs) == 0 || !strings.Contains(fault.Message, "connection refused") {
			t.Errorf("web/1: %+v, %v", fault, err)
		}
		for instance, code := range map[string]string{"db/1": api.CodeConflict, "old/1": api.CodeNotFound} {
			if _, err := r.Ailment(t.Context(), s.id, instance); !isCode(err, code) {
				t.Errorf("%s: %v, want %s", instance, err, code)
			}
		}
	})
}

// TestReportsShowNoSecret: a container's last words are told without the values
// that it was given, in the answer and in the history.
func TestReportsShowNoSecret(t *testing.T) {
	const version, value = "version-1", "s3cret-of-the-shop"
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		w.sick[digest(11)] = true
		w.last = []string{"connecting with " + value, base64.StdEncoding.EncodeToString([]byte(value)), "half s3cret-of-", "the end"}
		r := w.boot(0)
		defer r.stop()
		s := &sequence{t: t, id: "d2", r: second}
		s.r.Secrets = map[string]string{"TOKEN": version}
		s.values = map[string]string{version: value}
		if err := s.begin(r); err != nil {
			t.Fatal(err)
		}
		waiting, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := r.Steps(waiting, s.id, api.Steps{Fence: s.fence, Steps: forward[:1]}, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("starting web/1: %v", err)
		}
		fault, err := r.Ailment(t.Context(), s.id, "web/1")
		if err != nil {
			t.Fatal(err)
		}
		if shown := strings.Join(fault.Logs, " "); shown != "connecting with [secret] [secret] half s3cret-of- the end" {
			t.Errorf("the last words: %s", shown)
		}
		if _, err := r.Revert(t.Context(), s.id, api.Revert{Fence: s.fence, Reason: "it said " + value}, nil); err != nil {
			t.Fatal(err)
		}
		records, err := r.History(t.Context(), 1)
		if err != nil || len(records) != 1 || records[0].Reason != "it said [secret]" {
			t.Errorf("history: %+v, %v", records, err)
		}
	})
}
