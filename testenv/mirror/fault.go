package mirror

import (
	"net/http"
	"strings"
	"sync"
)

// Faults makes a registry misbehave on cue, and counts what it was asked. The
// zero value does nothing wrong. All methods are safe at any time.
type Faults struct {
	mu      sync.Mutex
	fail    int // requests to fail yet
	status  int
	corrupt int           // blobs to corrupt yet
	stalled chan struct{} // open while requests wait; nil: they don't
	counts  map[string]int
}

// Fail answers the next n requests with that status.
func (f *Faults) Fail(n, status int) { f.set(func() { f.fail, f.status = n, status }) }

// Corrupt changes one byte of each of the next n blobs that are fetched.
func (f *Faults) Corrupt(n int) { f.set(func() { f.corrupt = n }) }

// Stall holds every request, from its start, until Clear or until its client
// goes away.
func (f *Faults) Stall() {
	f.set(func() {
		if f.stalled == nil {
			f.stalled = make(chan struct{})
		}
	})
}

// Clear ends all faults; what is stalled goes on.
func (f *Faults) Clear() {
	f.set(func() {
		f.fail, f.corrupt = 0, 0
		if f.stalled != nil {
			close(f.stalled)
			f.stalled = nil
		}
	})
}

// Count tells how many requests of that method there were whose path has that
// part in it ("/blobs/"); an empty string matches all.
func (f *Faults) Count(method, part string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := 0
	for key, n := range f.counts {
		m, path, _ := strings.Cut(key, " ")
		if (method == "" || m == method) && strings.Contains(path, part) {
			sum += n
		}
	}
	return sum
}

func (f *Faults) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// verdict is what happens to one request.
type verdict struct {
	status  int // other than 0: fail with it
	corrupt bool
	stalled <-chan struct{}
}

func (f *Faults) judge(r *http.Request) (v verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[string]int{}
	}
	f.counts[r.Method+" "+r.URL.Path]++
	v.stalled = f.stalled
	if f.fail > 0 {
		f.fail--
		v.status = f.status
		return v
	}
	if f.corrupt > 0 && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
		f.corrupt--
		v.corrupt = true
	}
	return v
}

func (f *Faults) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := f.judge(r)
		if v.stalled != nil {
			select {
			case <-v.stalled:
			case <-r.Context().Done():
				return
			}
		}
		if v.status != 0 {
			http.Error(w, `{"errors":[{"code":"UNKNOWN","message":"failing as asked"}]}`, v.status)
			return
		}
		if v.corrupt {
			w = &liar{ResponseWriter: w}
		}
		next.ServeHTTP(w, r)
	})
}

// liar changes the first byte of a body.
type liar struct {
	http.ResponseWriter
	lied bool
}

func (l *liar) Write(p []byte) (int, error) {
	if l.lied || len(p) == 0 {
		return l.ResponseWriter.Write(p)
	}
	l.lied = true
	wrong := append([]byte(nil), p...)
	wrong[0] ^= 0xff
	return l.ResponseWriter.Write(wrong)
}
