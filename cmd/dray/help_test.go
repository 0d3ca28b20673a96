package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dray/cmd/internal/settings"
)

// TestHelpFitsAScreen: what dray can do is seen at one glance.
func TestHelpFitsAScreen(t *testing.T) {
	text := helpOf(t, "--help")
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > 40 {
		t.Errorf("%d lines:\n%s", len(lines), text)
	}
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	if !strings.Contains(text, "dray help flags") {
		t.Errorf("it does not say where the flags of every verb are:\n%s", text)
	}
	if again := helpOf(t); again != text {
		t.Errorf("without a verb it says:\n%s", again)
	}
}

// TestHelpOfVerbsHasTheirFlagsOnly: those of every verb stand in one place.
func TestHelpOfVerbsHasTheirFlagsOnly(t *testing.T) {
	root := newRoot(&app{viper: settings.NewReader()})
	topic := helpOf(t, "help", "flags")
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		_, usage, _ := strings.Cut(c.UsageString(), "\nFlags:\n")
		root.PersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && c != root && strings.Contains("\n"+usage, "\n      --"+f.Name+" ") && c.LocalNonPersistentFlags().Lookup(f.Name) == nil {
				t.Errorf("%s lists --%s", c.CommandPath(), f.Name)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && !strings.Contains(topic, "--"+f.Name+" ") {
			t.Errorf("dray help flags does not list --%s:\n%s", f.Name, topic)
		}
	})
}

// helpOf is what dray prints for these arguments.
func helpOf(t *testing.T, args ...string) string {
	t.Helper()
	root := newRoot(&app{viper: settings.NewReader()})
	root.PersistentPreRunE = nil // help needs no settings
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs(append([]string{}, args...))
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
