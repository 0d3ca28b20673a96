// Command bench measures dray on this machine and prints the table of figures.
// It needs root, and what testenv needs; make bench runs it.
//
//	bench [-run REGEXP] [-n COUNT] [-hosts N] [-bin FOLDER] [--json]
//
// Ctrl-C prints what was measured so far. Either way nothing stays behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/log"

	"dray/testenv/bench"
)

func main() {
	_ = log.SetLevel("error") // containerd's libraries warn of what is no fault here; the level exists
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	do := run
	if len(os.Args) > 1 && os.Args[1] == bench.LoadVerb {
		do = func(ctx context.Context) error { return bench.ServeLoad(ctx, os.Args[2:]) }
	}
	err := do(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	pattern := flag.String("run", ".", "measure the rows whose names match this regular expression")
	count := flag.Int("n", 5, "runs of each measure")
	hosts := flag.Int("hosts", 100, "light hosts to deploy to at once (0: leave that out)")
	bin := flag.String("bin", "", "folder with dray, drayd and dray-oci (default: the checkout's bin)")
	asJSON := flag.Bool("json", false, "print one JSON object instead of the table")
	list := flag.Bool("list", false, "list the rows' names")
	verbose := flag.Bool("v", false, "log what the lab does")
	flag.Parse()
	selected, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	rows := bench.Select(bench.Rows(), selected)
	if *list {
		for _, r := range rows {
			fmt.Println(r.Name)
		}
		return nil
	}
	options := bench.Options{Bin: *bin, Count: *count, Hosts: *hosts}
	if *verbose {
		options.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if err := locate(&options); err != nil {
		return err
	}
	b, err := bench.New(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close(context.WithoutCancel(ctx))) }()
	report := b.Run(ctx, rows, progress)
	write := report.Markdown
	if *asJSON {
		write = report.JSON
	}
	if err := write(os.Stdout); err != nil {
		return err
	}
	if report.Failed() {
		return errors.New("not everything was measured")
	}
	return nil
}

// locate finds the checkout and its programs.
func locate(o *bench.Options) error {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("finding the checkout: %w", err)
	}
	module := strings.TrimSpace(string(out))
	if filepath.Base(module) != "go.mod" {
		return errors.New("run it in dray's checkout: it deploys examples/web")
	}
	o.Source = filepath.Dir(module)
	if o.Bin == "" {
		o.Bin = filepath.Join(o.Source, "bin")
	}
	if o.Bin, err = filepath.Abs(o.Bin); err != nil {
		return err
	}
	for _, program := range []string{"dray", "drayd", "dray-oci"} {
		if _, err := os.Stat(filepath.Join(o.Bin, program)); err != nil {
			return fmt.Errorf("%w: run make build first", err)
		}
	}
	return nil
}

// progress says on stderr how it goes.
func progress(row string, took time.Duration, results []bench.Result) {
	fmt.Fprintf(os.Stderr, "%s (%.1f s)\n", row, took.Seconds())
	for _, r := range results {
		fmt.Fprintf(os.Stderr, "  %s\n", r.Line())
	}
}
