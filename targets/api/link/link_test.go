package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// muxes returns both ends of a mux over a pipe.
func muxes(t *testing.T) (client, server *Mux) {
	t.Helper()
	near, far := net.Pipe()
	server, err := Server(far)
	if err != nil {
		t.Fatal(err)
	}
	client, err = Client(near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	return client, server
}

// streams returns both ends of one stream.
func streams(t *testing.T) (near, far *Stream) {
	t.Helper()
	client, server := muxes(t)
	opened, err := client.Open()
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return NewStream(opened), NewStream(accepted)
}

// TestStreamCarriesEverything writes in pieces of all sizes and reads in
// others, in both directions at once.
func TestStreamCarriesEverything(t *testing.T) {
	near, far := streams(t)
	var work sync.WaitGroup
	carry := func(from, to *Stream, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		text := make([]byte, 20<<20)
		for i := 0; i < len(text); i += 8 {
			binary.LittleEndian.PutUint64(text[i:], random.Uint64())
		}
		work.Go(func() {
			for rest := text; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(400<<10))
				if _, err := from.Write(rest[:n]); err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
			if err := from.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		work.Go(func() {
			if got, err := io.ReadAll(to); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d bytes of %d came, %v", len(got), len(text), err)
			}
		})
	}
	carry(near, far, 1)
	carry(far, near, 2)
	work.Wait()
}

func TestHalfCloseAndCut(t *testing.T) {
	near, far := streams(t)
	if err := near.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(far); err != nil {
		t.Fatalf("after CloseWrite: %v", err)
	}
	if _, err := near.Write([]byte("x")); err == nil {
		t.Error("Write after CloseWrite succeeded")
	}
	if _, err := far.Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 10)
	if _, err := io.ReadFull(near, buffer); err != nil || string(buffer) != "still here" {
		t.Errorf("the other half: %q %v", buffer, err)
	}
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := near.Read(buffer); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after a cut: %v", err)
	}
}

// TestDeadlineInTheMiddle has a read time out, as net/http does when it takes
// a connection over, and go on.
func TestDeadlineInTheMiddle(t *testing.T) {
	near, far := streams(t)
	if err := far.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := far.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("Read past the deadline: %v", err)
	}
	// A header in two parts, with a deadline in between.
	if _, err := near.conn.Write([]byte{0, 0}); err != nil {
		t.Fatal(err)
	}
	if err := far.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("Read in the middle of a header: %v", err)
	}
	if err := far.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := near.conn.Write([]byte{0, 2, 'o', 'k'}); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 2)
	if _, err := io.ReadFull(far, buffer); err != nil || string(buffer) != "ok" {
		t.Errorf("after it: %q %v", buffer, err)
	}
}

// TestManyStreams has more streams than yamux' backlog, at once.
func TestManyStreams(t *testing.T) {
	client, server := muxes(t)
	var work sync.WaitGroup
	work.Go(func() {
		for range 500 {
			conn, err := server.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			work.Go(func() {
				s := NewStream(conn)
				defer s.Close()
				_, _ = io.Copy(s, s)
				_ = s.CloseWrite()
			})
		}
	})
	for range 500 {
		work.Go(func() {
			conn, err := client.Open()
			if err != nil {
				t.Error(err)
				return
			}
			s := NewStream(conn)
			defer s.Close()
			_, _ = s.Write([]byte("echo"))
			_ = s.CloseWrite()
			if text, err := io.ReadAll(s); err != nil || string(text) != "echo" {
				t.Errorf("%q %v", text, err)
			}
		})
	}
	work.Wait()
}

// silent is a peer that takes everything and says nothing.
type silent struct{ closed chan struct{} }

func (s silent) Read([]byte) (int, error)    { <-s.closed; return 0, io.EOF }
func (s silent) Write(p []byte) (int, error) { return len(p), nil }
func (s silent) Close() error                { close(s.closed); return nil }

func TestWatch(t *testing.T) {
	mux, err := Client(silent{make(chan struct{})})
	if err != nil {
		t.Fatal(err)
	}
	if err := mux.Watch(5*time.Millisecond, 50*time.Millisecond); !errors.Is(err, ErrSilent) {
		t.Errorf("Watch over a silent peer: %v", err)
	}
	client, _ := muxes(t)
	ended := make(chan error)
	go func() { ended <- client.Watch(2*time.Millisecond, 200*time.Millisecond) }()
	select {
	case err := <-ended:
		t.Fatalf("Watch ended although the peer answers: %v", err)
	case <-time.After(600 * time.Millisecond):
	}
	_ = client.Close()
	if err := <-ended; err != nil {
		t.Errorf("Watch after Close: %v", err)
	}
}

func TestReadHello(t *testing.T) {
	var line bytes.Buffer
	want := Hello{V: 1, Version: "1.2.3", Bundle: "sha256:00", API: 1, Arch: "arm64", Peer: "/run/dray/peer/7.sock"}
	if err := WriteHello(&line, want); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadHello(&line); err != nil || got != want {
		t.Errorf("there and back: %+v %v", got, err)
	}
	for text, words := range map[string]string{
		"":                                   "unexpected EOF",
		`{"v":1,"peer":"/x"}`:                "unexpected EOF",
		"hello\n":                            "invalid character",
		`{"v":2,"peer":"/x"}` + "\n":         "version 2",
		`{"v":1,"peer":"x"}` + "\n":          "absolute",
		`{"v":1,"error":"disk full"}` + "\n": "disk full",
		strings.Repeat("x", 100<<10) + "\n":  "EOF",
	} {
		if _, err := ReadHello(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%.40q: %v, want %q", text, err, words)
		}
	}
}

func FuzzReadHello(f *testing.F) {
	f.Add([]byte(`{"v":1,"version":"1","bundle":"sha256:0","api":1,"peer":"/run/dray/peer/1.sock"}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := ReadHello(bytes.NewReader(text))
		if err == nil && (h.V != Protocol || !strings.HasPrefix(h.Peer, "/") || h.Error != "") {
			t.Errorf("accepted: %+v", h)
		}
	})
}

// FuzzStream reads frames that anybody wrote.
func FuzzStream(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 'o', 'k', 0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, text []byte) {
		s := NewStream(&fixed{r: bytes.NewReader(text)})
		got, err := io.ReadAll(s)
		if len(got) > len(text) {
			t.Errorf("%d bytes out of %d", len(got), len(text))
		}
		if err == nil && !s.ended {
			t.Error("no end, and no error")
		}
	})
}

type fixed struct {
	net.Conn
	r io.Reader
}

func (c *fixed) Read(p []byte) (int, error) { return c.r.Read(p) }
