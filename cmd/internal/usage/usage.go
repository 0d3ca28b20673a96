// Package usage gives every verb the same manners: what is wrong with a command
// line is said in the user's words, with how it goes and where help is, and help
// fits a screen. It knows no verb: those are cmd/dray's.
package usage

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// Polish is called once all verbs are below root. What a verb's arguments may be
// is asked of complete, unless the verb says it itself.
func Polish(root *cobra.Command, complete cobra.CompletionFunc) {
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return Misused(c, wrongFlag(err)) })
	addTopics(root)
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(usageTemplate(root))
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Hidden = true // the last line of help tells of it
	}
	polish(root, complete)
}

func polish(c *cobra.Command, complete cobra.CompletionFunc) {
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
				return Misused(c, wrongArgs(c, args))
			}
			return nil
		}
	}
	if c.ValidArgsFunction == nil && !c.HasSubCommands() {
		c.ValidArgsFunction = complete
	}
	for _, sub := range c.Commands() {
		polish(sub, complete)
	}
}

// Misused is the failure of a command line that can't be understood.
func Misused(c *cobra.Command, what string) error {
	return pipeline.WithHint(errors.New(c.CommandPath()+": "+what), pipeline.Hint{
		Detail: "Usage: " + c.UseLine(), Next: c.CommandPath() + " --help",
	})
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
	return pipeline.WithHint(fmt.Errorf("%s has no %s %q.%s", c.CommandPath(), kind, verb, hint), pipeline.Hint{Next: c.CommandPath() + " --help"})
}

// wrongFlag says what is wrong with a flag.
func wrongFlag(err error) string {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "duration" {
		return WrongLength(invalid.GetFlag().Name, invalid.GetValue())
	}
	return err.Error()
}

// WrongLength says how a length of time is written.
func WrongLength(flag, text string) string {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return fmt.Sprintf("--%s: %d what? use %[2]dh or 30m", flag, n)
	}
	return fmt.Sprintf("--%s %s: write a time such as 48h or 30m", flag, text)
}

// wrongArgs says which argument of the usage line is missing, or that there
// is one too many.
func wrongArgs(c *cobra.Command, args []string) string {
	wanted := Positional(c)
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

// Positional lists the arguments of a usage line, in the order in which they
// are needed: ENV, [SERVICE[/INDEX]].
func Positional(c *cobra.Command) []string {
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
