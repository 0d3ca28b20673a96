package load_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dray/testenv/load"
)

func TestHTTPCountsFailuresAndAnswers(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch n := asked.Add(1); {
		case n%10 == 0:
			http.Error(w, "no", http.StatusBadGateway)
		case n <= 50:
			fmt.Fprintln(w, "old")
		default:
			fmt.Fprintln(w, "new")
		}
	}))
	defer server.Close()
	report, err := load.Do(t.Context(), &load.HTTP{URL: server.URL, Rate: 1000, Count: 100, KeepAlive: true})
	if err != nil {
		t.Fatal(err)
	}
	if report.Sent != 100 || report.Failed != 10 || report.Errors["status 502 Bad Gateway"] != 10 || report.Answers["old"] != 45 || report.Answers["new"] != 45 {
		t.Errorf("%v %v", report, report.Answers)
	}
	if report.Took < 95*time.Millisecond || report.Percentile(50) <= 0 || report.Percentile(100) < report.Percentile(50) {
		t.Errorf("100 requests at 1000 a second: %v", report)
	}
}

func TestStallShowsInEveryRequestDue(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	run, err := load.Start(t.Context(), &load.HTTP{URL: server.URL, Rate: 500, Count: 50, Parallel: 1})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, func() { close(release) })
	report := run.Wait()
	if report.Failed > 0 || report.Percentile(50) < 200*time.Millisecond {
		t.Errorf("a stall of 300 ms hides behind the one request that saw it: %v", report)
	}
}

func TestStopEndsARun(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	defer server.Close()
	run, err := load.Start(t.Context(), &load.HTTP{URL: server.URL, Rate: 200})
	if err != nil {
		t.Fatal(err)
	}
	for run.SoFar().Sent < 10 {
		time.Sleep(time.Millisecond)
	}
	if report := run.Stop(); report.Sent < 10 || report.Failed > 0 {
		t.Error(report)
	}
}

func TestForeignTargetsAreRefused(t *testing.T) {
	for _, c := range []load.Client{
		&load.HTTP{URL: "http://192.0.2.1/", Rate: 1},
		&load.HTTP{URL: "http://example.com/", Rate: 1},
		&load.Hold{Address: "10.1.0.1:80"},
		&load.UDP{Address: "[2001:db8::1]:53", Rate: 1},
	} {
		if _, err := load.Start(t.Context(), c); err == nil {
			t.Errorf("%+v is not refused", c)
		}
	}
}

// echo serves lines back; it cuts its connections when told to.
func echo(t *testing.T) (address string, cut func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns <- conn
			go io.Copy(conn, conn)
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String(), func() { (<-conns).Close() }
}

func TestHoldCountsACutConnectionOnce(t *testing.T) {
	address, cut := echo(t)
	run, err := load.Start(t.Context(), &load.Hold{Address: address, Count: 3, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for run.SoFar().Sent < 10 {
		time.Sleep(time.Millisecond)
	}
	cut()
	for run.SoFar().Failed < 1 {
		time.Sleep(time.Millisecond)
	}
	after := run.SoFar().Sent
	for run.SoFar().Sent < after+20 {
		time.Sleep(time.Millisecond)
	}
	if report := run.Stop(); report.Failed != 1 || report.Answers["still there"] < 20 {
		t.Errorf("%v %v", report, report.Answers)
	}
}

func TestHoldSpeaksHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "v1") }))
	defer server.Close()
	report, err := load.Do(t.Context(), &load.Hold{
		Address: strings.TrimPrefix(server.URL, "http://"), Rate: 200, Duration: 100 * time.Millisecond,
		Exchange: load.HTTPExchange("/"),
	})
	if err != nil || report.Failed > 0 || report.Answers["v1"] < 10 {
		t.Errorf("%v: %v", err, report)
	}
}

func TestUDPCountsLostDatagrams(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 100)
		for n := 0; ; n++ {
			size, from, err := server.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if n%5 != 0 {
				server.WriteTo(append(buf[:size], " here"...), from)
			}
		}
	}()
	report, err := load.Do(t.Context(), &load.UDP{Address: server.LocalAddr().String(), Rate: 500, Count: 50, Timeout: 200 * time.Millisecond})
	if err != nil || report.Sent != 50 || report.Failed != 10 || report.Answers["here"] != 40 {
		t.Errorf("%v: %v %v", err, report, report.Answers)
	}
}
