package usage_test

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"

	"dray/cmd/internal/usage"
)

func TestPositional(t *testing.T) {
	for use, want := range map[string][]string{
		"ship":                             nil,
		"deploy ENV":                       {"ENV"},
		"promote [FROM] TO":                {"[FROM]", "TO"},
		"lock ENV --reason TEXT":           {"ENV"},
		"run ENV NAME [-- COMMAND…]":       {"ENV", "NAME", "[COMMAND…]"},
		"exec ENV S [flags] -- CMD [ARG…]": {"ENV", "S", "CMD", "[ARG…]"},
	} {
		if got := usage.Positional(&cobra.Command{Use: use}); !slices.Equal(got, want) {
			t.Errorf("%q has %q, want %q", use, got, want)
		}
	}
}
