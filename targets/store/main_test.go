package store_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"dray/targets/store/unpack"
)

// programs are what the tests start, by the word that they are started with.
var programs = map[string]func() error{
	"unpack": func() error { return unpack.Main(os.Stdin, os.Stdout) },
	"broken": func() error { return errors.New("a thing is broken") },
}

// TestMain also is the programs.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && programs[os.Args[1]] != nil {
		if err := programs[os.Args[1]](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
