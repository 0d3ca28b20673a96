// Command app is the server that tests deploy. It answers HTTP on :8080 (/up,
// /version, /eat to use memory, /fork to start processes, /slow) and echoes
// UDP on :7000. MODE makes it misbehave: "unhealthy" fails /up, "unhealthy
// HOSTNAME" does in that container only, "exit" ends at once, "leak" does so
// and prints $TOKEN, "deaf" listens on
// another port, "stubborn" does not end when it is asked to, "sick" becomes
// unhealthy after /sick.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) > 1 {
		time.Sleep(20 * time.Second) // a copy that /fork started
		return
	}
	mode, version := os.Getenv("MODE"), os.Getenv("VERSION")
	switch mode {
	case "exit":
		log.Fatal("exiting, as told")
	case "leak":
		token := os.Getenv("TOKEN")
		log.Fatalf("can't connect with %s, %q, Basic %s", token, token, base64.StdEncoding.EncodeToString([]byte("me:"+token)))
	}
	address := ":8080"
	if mode == "deaf" {
		address = ":8181"
	}
	log.Printf("app %s listens on %s", version, address)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if mode == "stubborn" {
		ctx = context.WithoutCancel(ctx)
	}
	go echo()
	server := &http.Server{Addr: address, Handler: handler(mode, version)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		bounded, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(bounded)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-ended
	log.Printf("app %s ended in order", version)
}

func handler(mode, version string) http.Handler {
	var sick atomic.Bool
	var hoard [][]byte
	hostname, _ := os.Hostname()
	unwell := mode == "unhealthy" || mode == "unhealthy "+hostname
	mux := http.NewServeMux()
	mux.HandleFunc("/up", func(w http.ResponseWriter, _ *http.Request) {
		if unwell || sick.Load() {
			log.Print("telling that I am not well")
			http.Error(w, "not well", http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "up")
	})
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s %s\n", version, hostname)
	})
	mux.HandleFunc("/sick", func(http.ResponseWriter, *http.Request) { sick.Store(true) })
	mux.HandleFunc("/well", func(http.ResponseWriter, *http.Request) { sick.Store(false) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		for range 20 {
			fmt.Fprintln(w, "tick")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	})
	mux.HandleFunc("/eat", func(http.ResponseWriter, *http.Request) {
		for range 256 {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			hoard = append(hoard, b)
		}
	})
	mux.HandleFunc("/fork", func(w http.ResponseWriter, _ *http.Request) {
		started := 0
		for range 500 {
			if exec.Command("/proc/self/exe", "sleep").Start() != nil {
				break
			}
			started++
		}
		fmt.Fprintln(w, started)
	})
	return mux
}

func echo() {
	conn, err := net.ListenPacket("udp", ":7000")
	if err != nil {
		log.Print(err)
		return
	}
	b := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(b[:n], from)
	}
}
