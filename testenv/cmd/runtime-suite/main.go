// Command runtime-suite runs runc's own tests against dray-oci beside runc and
// fails where dray-oci lacks something without a written reason. See package
// testenv/runtimesuite.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"dray/testenv/runtimesuite"
)

func main() {
	oci := flag.String("oci", "bin/dray-oci", "the runtime that is tested")
	match := flag.String("match", "", "files of tests by their names without .bats, as a glob; all by default")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *oci, *match)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "runtime-suite:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, oci, match string) error {
	reasons, err := runtimesuite.KnownReasons()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dray-runtime-suite-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(os.Stderr, "building runc and what its tests need")
	suite, err := runtimesuite.New(ctx, dir, oci)
	if err != nil {
		return err
	}
	cases, err := suite.Run(ctx, match, func(file string, cases []runtimesuite.Case) {
		fmt.Fprintf(os.Stderr, "%s: %d tests\n", file, len(cases))
	})
	if err != nil {
		return err
	}
	verdict := runtimesuite.Judge(cases, reasons, match)
	if err := runtimesuite.Report(os.Stdout, cases, reasons, verdict); err != nil {
		return err
	}
	return verdict.Err()
}
