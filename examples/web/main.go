// Command web is a small HTTP server: a page, a health check and a version.
package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

//go:embed page.html
var page embed.FS

// version is set when the program is linked.
var version = "unknown"

func main() {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", serveFile("page.html"))
	mux.HandleFunc("GET /up", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "up") })
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		name, _ := os.Hostname()
		fmt.Fprintf(w, "%s on %s, pid %d, %s\n", version, name, os.Getpid(), runtime.Version())
	})
	server := &http.Server{Addr: ":" + port(), Handler: mux, ReadHeaderTimeout: 5 * time.Second}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	go func() {
		<-ctx.Done()
		log.Print("stopping: finishing what is under way")
		bounded, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(bounded)
	}()
	log.Printf("web %s is listening on %s", version, server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

func serveFile(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, page, name) })
}

func port() string {
	if p := os.Getenv("PORT"); p != "" {
		return p
	}
	return "8080"
}
