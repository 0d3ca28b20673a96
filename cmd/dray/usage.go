package main

import (
	"dray/pipeline/phrase"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// polish gives every command the same manners: what is wrong with a command
// line is said in the user's words, with the usage and where help is.
func polish(a *app, c *cobra.Command) {
	if !c.HasParent() {
		c.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return misused(c, wrongFlag(err)) })
	}
	if c.HasSubCommands() {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(c, args[0])
			}
			return c.Help()
		}
	} else if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return misused(c, wrongArgs(c, args))
			}
			return nil
		}
	}
	if c.ValidArgsFunction == nil && !c.HasSubCommands() {
		c.ValidArgsFunction = a.completeArgs
	}
	for _, sub := range c.Commands() {
		polish(a, sub)
	}
}

// usageTemplate is cobra's, without a line for a verb that only holds others,
// and without the flags that every verb has: dray --help shows those.
func usageTemplate(c *cobra.Command) string {
	text := strings.Replace(c.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1)
	begin := strings.Index(text, "{{if .HasAvailableInheritedFlags}}")
	end := strings.Index(text, "{{if .HasHelpSubCommands}}")
	if begin < 0 || end < begin {
		return text // another cobra: all flags are better than none
	}
	return text[:begin] + "{{if .HasAvailableInheritedFlags}}\n\nFlags of every verb: dray --help{{end}}" + text[end:]
}

// misused is a command line that can't be understood.
func misused(c *cobra.Command, what string) error {
	f := failure(c.CommandPath()+": "+what, c.CommandPath()+" --help")
	f.Detail, f.Conclusion = "Usage: "+c.UseLine(), ""
	return &exitError{code: exitFailed, failure: f}
}

// unknownVerb says what was probably meant, and, below a verb, what there is.
func unknownVerb(c *cobra.Command, verb string) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	kind, hint := "verb", phrase.DidYouMean(verb, names)
	if c.Name() == "completion" {
		kind = "shell"
	}
	if c.HasParent() {
		hint += " There are: " + strings.Join(names, ", ") + "."
	}
	f := failure(fmt.Sprintf("%s has no %s %q.%s", c.CommandPath(), kind, verb, hint), c.CommandPath()+" --help")
	f.Conclusion = ""
	return &exitError{code: exitFailed, failure: f}
}

// wrongFlag says what is wrong with a flag.
func wrongFlag(err error) string {
	var invalid *pflag.InvalidValueError
	if asError(err, &invalid) && invalid.GetFlag().Value.Type() == "duration" {
		return wrongLength(invalid.GetFlag().Name, invalid.GetValue())
	}
	return err.Error()
}

// wrongLength says how a length of time is written.
func wrongLength(flag, text string) string {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return fmt.Sprintf("--%s: %d what? use %[2]dh or 30m", flag, n)
	}
	return fmt.Sprintf("--%s %s: write a time such as 48h or 30m", flag, text)
}

// wrongArgs says which argument of the usage line is missing, or that there
// is one too many.
func wrongArgs(c *cobra.Command, args []string) string {
	wanted := positional(c)
	for i, w := range wanted {
		if i >= len(args) && !strings.HasPrefix(w, "[") {
			return w + " is missing"
		}
	}
	if len(args) > len(wanted) {
		return fmt.Sprintf("%q is one argument too many", args[len(wanted)])
	}
	return phrase.Count(len(args), "argument") + phrase.IsAre(len(args)) + "too few"
}

// positional lists the arguments of a usage line, in the order in which they
// are needed: ENV, [SERVICE[/INDEX]].
func positional(c *cobra.Command) []string {
	var out []string
	for _, word := range strings.Fields(strings.Replace(c.Use, "[-- ", "-- [", 1))[1:] {
		switch {
		case word == "--", word == "[flags]":
		case strings.HasPrefix(word, "--"):
			return out // a flag that must be given, and its value
		default:
			out = append(out, word)
		}
	}
	return out
}
