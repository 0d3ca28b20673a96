//go:build linux

package ssh

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"dray/pipeline/event"
	"dray/targets/api"
)

// BenchmarkConnect is Dial, Connect and the first answer of the agent on a
// host that has this bundle.
func BenchmarkConnect(b *testing.B) {
	for _, user := range []string{"root", "deploy"} {
		b.Run(user, func(b *testing.B) {
			cleanHost(b)
			_, o := ready(b, user)
			one := bundleOf(b, "one")
			if err := Install(b, one); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				conn, err := NewDialer().Dial(b.Context(), o)
				if err != nil {
					b.Fatal(err)
				}
				s, err := Connect(b.Context(), conn, finds(one), ConnectOptions{}, event.Discard)
				if err != nil {
					b.Fatal(err)
				}
				agentOf(b, s)
				b.StopTimer()
				_ = s.Close()
				b.StartTimer()
			}
		})
	}
}

// BenchmarkThroughput moves 64 MiB a round over streams of one connection.
func BenchmarkThroughput(b *testing.B) {
	const size = 64 << 20
	for _, streams := range []int{1, 8} {
		b.Run(fmt.Sprintf("download/%d", streams), func(b *testing.B) {
			client, base := benchmarkClient(b)
			b.SetBytes(size)
			for b.Loop() {
				inParallel(b, streams, func() error {
					resp, err := client.Get(fmt.Sprintf("%s/bytes?n=%d", base, size/streams))
					if err != nil {
						return err
					}
					defer resp.Body.Close()
					n, err := io.Copy(io.Discard, resp.Body)
					if err == nil && n != int64(size/streams) {
						err = fmt.Errorf("%d bytes came", n)
					}
					return err
				})
			}
		})
		b.Run(fmt.Sprintf("upload/%d", streams), func(b *testing.B) {
			client, base := benchmarkClient(b)
			b.SetBytes(size)
			for b.Loop() {
				inParallel(b, streams, func() error {
					resp, err := client.Post(base+"/bytes", "", io.LimitReader(zeroes{}, int64(size/streams)))
					if err != nil {
						return err
					}
					defer resp.Body.Close()
					text, err := io.ReadAll(resp.Body)
					if err == nil && string(text) != fmt.Sprintf("%d <nil>", size/streams) {
						err = fmt.Errorf("the agent says %q", text)
					}
					return err
				})
			}
		})
	}
}

func benchmarkClient(b *testing.B) (client *http.Client, base string) {
	cleanHost(b)
	_, o := ready(b, "root")
	s := mustConnect(b, o, finds(bundleOf(b, "one")))
	return api.NewClient(s.DialAgent, api.Actor{}).HTTP()
}

func inParallel(b *testing.B, n int, do func() error) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := do(); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
}

type zeroes struct{}

// Read gives zeroes.
func (zeroes) Read(p []byte) (int, error) { return len(p), nil }
