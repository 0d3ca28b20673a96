package engineapi

import (
	"bufio"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/moby/moby/api/types"

	"dray/targets/logs"
)

// logs is GET /containers/{id}/logs.
func (a *API) logs(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	q, err := logQuery(r)
	if err != nil {
		return err
	}
	if q.Follow && !live(c) && c.State != "created" {
		q.Follow = false // nothing will come
	}
	w.Header().Set("Content-Type", types.MediaTypeMultiplexedStream)
	if c.Spec.TTY {
		w.Header().Set("Content-Type", types.MediaTypeRawStream)
	}
	w.WriteHeader(http.StatusOK)
	out := newLogWriter(w, c.Spec.TTY, flag(r, "timestamps"))
	defer out.close()
	if err := a.Engine.Logs(r.Context(), c.ID, q, out.write); err != nil && r.Context().Err() == nil {
		a.Log.Warn("reading a log", "container", c.Spec.Name, "error", err) // the head was sent: the stream ends early
	}
	return nil
}

// logQuery reads what is asked for.
func logQuery(r *http.Request) (logs.Query, error) {
	q := logs.Query{Follow: flag(r, "follow")}
	switch stdout, stderr := flag(r, "stdout"), flag(r, "stderr"); {
	case !stdout && !stderr:
		return q, fault(http.StatusBadRequest, "Bad parameters: you must choose at least one stream")
	case !stderr:
		q.Stream = logs.Stdout
	case !stdout:
		q.Stream = logs.Stderr
	}
	var err error
	if q.Since, err = moment(r, "since"); err != nil {
		return q, err
	}
	if q.Until, err = moment(r, "until"); err != nil {
		return q, err
	}
	if tail := r.FormValue("tail"); tail != "" && tail != "all" {
		n, err := strconv.Atoi(tail)
		switch {
		case err != nil, n < 0: // as Docker has it: everything
		case n == 0:
			q.Tail = logs.NoHistory
		default:
			q.Tail = n
		}
	}
	return q, nil
}

// flushEvery bounds how long a line waits in the buffer of a log that is
// followed.
const flushEvery = 20 * time.Millisecond

// logWriter writes records to a client, framed unless there is a terminal. It
// sends many lines together where they come fast.
type logWriter struct {
	tty, stamps bool

	mu     sync.Mutex
	out    *bufio.Writer
	flush  func() error
	timer  *time.Timer
	armed  bool
	open   map[logs.Stream]bool // the stream's last record was a part of a line
	line   []byte
	framed []byte
}

func newLogWriter(w http.ResponseWriter, tty, stamps bool) *logWriter {
	l := &logWriter{tty: tty, stamps: stamps, out: bufio.NewWriterSize(w, 32<<10), flush: http.NewResponseController(w).Flush, open: map[logs.Stream]bool{}}
	l.timer = time.AfterFunc(time.Hour, l.send)
	_ = l.flush() // the head, so that the client knows that the log is followed
	return l
}

// stampFormat is that of the Engine's log timestamps: always nine digits.
const stampFormat = "2006-01-02T15:04:05.000000000Z07:00"

func (l *logWriter) write(rec logs.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = l.line[:0]
	if l.stamps && !l.open[rec.Stream] {
		l.line = append(rec.Time.UTC().AppendFormat(l.line, stampFormat), ' ')
	}
	l.open[rec.Stream] = rec.Partial
	l.line = append(l.line, rec.Text...)
	if !rec.Partial {
		l.line = append(l.line, '\n')
	}
	b := l.line
	if !l.tty {
		l.framed = appendFrame(l.framed[:0], rec.Stream, l.line)
		b = l.framed
	}
	if _, err := l.out.Write(b); err != nil {
		return err
	}
	if !l.armed {
		l.armed = true
		l.timer.Reset(flushEvery)
	}
	return nil
}

// send passes on what is buffered.
func (l *logWriter) send() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	if l.flush == nil {
		return
	}
	if l.out.Flush() == nil { // otherwise the next write fails too
		_ = l.flush()
	}
}

// close sends the rest. Nothing is written to the client after it.
func (l *logWriter) close() {
	l.timer.Stop()
	l.send()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush = nil
}
