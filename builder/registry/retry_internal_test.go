package registry

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// script answers requests with one status after the other; the last stays.
type script struct {
	statuses   []int
	retryAfter string
	asked      int
}

func (s *script) RoundTrip(in *http.Request) (*http.Response, error) {
	status := s.statuses[min(s.asked, len(s.statuses)-1)]
	s.asked++
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: in}
	if s.retryAfter != "" {
		resp.Header.Set("Retry-After", s.retryAfter)
	}
	return resp, nil
}

func TestRetries(t *testing.T) {
	busy := func(n int) []int {
		var all []int
		for range n {
			all = append(all, http.StatusTooManyRequests)
		}
		return append(all, http.StatusOK)
	}
	for name, x := range map[string]struct {
		method string
		script script
		want   int
		asked  int
		took   time.Duration // at least, and at most a second more
	}{
		"a named pause, as often as it is named": {"GET", script{statuses: busy(8), retryAfter: "1"}, 200, 9, 8 * time.Second},
		"a named pause of a request that writes": {"POST", script{statuses: busy(1), retryAfter: "20"}, 200, 2, 20 * time.Second},
		"a named pause that is too long":         {"GET", script{statuses: busy(1), retryAfter: "3600"}, 429, 1, 0},
		"named pauses without an end":            {"GET", script{statuses: busy(1000), retryAfter: "50"}, 429, 7, 300 * time.Second},
		"twice busy, without a word":             {"GET", script{statuses: busy(2)}, 200, 3, 1200 * time.Millisecond},
		"busy for good":                          {"GET", script{statuses: busy(9)}, 429, 3, 1200 * time.Millisecond},
		"broken once":                            {"HEAD", script{statuses: []int{502, 200}}, 200, 2, 300 * time.Millisecond},
		"broken, of a request that writes":       {"POST", script{statuses: []int{500, 200}}, 500, 1, 0},
		"not found":                              {"GET", script{statuses: []int{404}}, 404, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var told time.Duration
				rt := retrying(&x.script, func(d time.Duration) { told += d })
				req, err := http.NewRequestWithContext(t.Context(), x.method, "https://r.example.com/v2/", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := rt.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				took := time.Since(began)
				if resp.StatusCode != x.want || x.script.asked != x.asked || took < x.took*9/10 || took > x.took+time.Second {
					t.Errorf("status %d after %d requests and %s, want %d, %d, %s", resp.StatusCode, x.script.asked, took, x.want, x.asked, x.took)
				}
				if x.script.retryAfter != "" && told != took {
					t.Errorf("it told of %s and waited %s", told, took)
				}
			})
		})
	}
}

// TestRetryRepeatsTheBody looks that the second request carries what the first
// one did.
func TestRetryRepeatsTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		rt := retrying(roundTrip(func(in *http.Request) (*http.Response, error) {
			b := make([]byte, 10)
			n, _ := in.Body.Read(b)
			bodies = append(bodies, string(b[:n]))
			status := http.StatusTooManyRequests
			if len(bodies) == 2 {
				status = http.StatusCreated
			}
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: in}, nil
		}), func(time.Duration) {})
		req, err := http.NewRequestWithContext(t.Context(), "PUT", "https://r.example.com/v2/", strings.NewReader("manifest"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := rt.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusCreated || len(bodies) != 2 || bodies[1] != "manifest" {
			t.Errorf("got %v, %v after %q", resp, err, bodies)
		}
		resp.Body.Close()
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(in *http.Request) (*http.Response, error) { return f(in) }

func TestMayFollow(t *testing.T) {
	for _, x := range []struct {
		from, to string
		want     bool
	}{
		{"10.0.0.5", "10.0.0.6", true},
		{"192.168.1.1", "10.0.0.6", true},
		{"fd00::5", "10.0.0.6", true},
		{"127.0.0.1", "127.0.0.2", true},
		{"127.0.0.1", "10.0.0.6", true},
		{"localhost", "127.0.0.2", true},
		{"10.0.0.5", "127.0.0.1", false}, // this machine's own services
		{"10.0.0.5", "169.254.169.254", false},
		{"127.0.0.1", "169.254.169.254", false},
		{"127.0.0.1", "fe80::1", false},
		{"8.8.8.8", "10.0.0.6", false},
		{"8.8.8.8", "127.0.0.1", false},
		{"8.8.8.8", "::ffff:10.0.0.6", false},
		{"10.0.0.5", "0.0.0.0", false},
	} {
		if got := mayFollow(t.Context(), x.from, x.to); got != x.want {
			t.Errorf("from %s to %s: %v, want %v", x.from, x.to, got, x.want)
		}
	}
}
