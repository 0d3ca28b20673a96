package store_test

import (
	"fmt"
	"os"
	"testing"

	"dray/targets/store/unpack"
)

// TestMain also is the program whose "unpack" unpacks layers.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "unpack" {
		if err := unpack.Main(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
