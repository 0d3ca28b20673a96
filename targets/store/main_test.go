package store_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"dray/targets/store/unpack"
)

// TestMain also is the programs that the tests start.
func TestMain(m *testing.M) {
	programs := map[string]func() error{
		"unpack":       func() error { return unpack.Main(os.Stdin, os.Stdout) },
		"corpus-agent": corpusAgent,
		"broken":       func() error { return errors.New("a thing is broken") },
	}
	if len(os.Args) == 2 && programs[os.Args[1]] != nil {
		if err := programs[os.Args[1]](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
