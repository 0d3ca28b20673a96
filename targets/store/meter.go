package store

import (
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"dray/pipeline/event"
)

// meter counts a pull's bytes and reports them.
type meter struct {
	sink   event.Sink
	name   string
	digest digest.Digest
	done   atomic.Int64
	total  atomic.Int64
	last   atomic.Int64 // when the last report was, in ms
}

func (m *meter) emit(e event.Event) {
	if e.Digest == "" {
		e.Digest = m.digest.String()
	}
	m.sink.Emit(e)
}

// add counts bytes that travelled, or takes back those that were thrown away.
func (m *meter) add(n int64) {
	m.done.Add(n)
	m.report(false)
}

// report emits progress: ten times a second at most, unless it is the last.
func (m *meter) report(last bool) {
	now, before := time.Now().UnixMilli(), m.last.Load()
	if !last && (now-before < 100 || !m.last.CompareAndSwap(before, now)) {
		return
	}
	if total := m.total.Load(); total > 0 {
		m.emit(event.Event{Type: event.Progress, Subject: "pull " + m.name, Text: m.name, Done: m.done.Load(), Total: total, Unit: "bytes"})
	}
}
