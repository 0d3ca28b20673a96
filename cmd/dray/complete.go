package main

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dray/cmd/internal/usage"
	"dray/pipeline"
	"dray/pipeline/config"
)

// completeArgs offers the file's own names for the next argument of a verb:
// what the usage line calls ENV, HOST, SERVICE, TARGET, or TASK or NAME (of a
// task).
func (a *app) completeArgs(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	wanted := usage.Positional(c)
	if len(wanted) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	word := wanted[min(len(args), len(wanted)-1)]
	many := strings.Contains(word, "…")
	if len(args) >= len(wanted) && !many {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	switch strings.Trim(word, "[]…") {
	case "FILE", "COMMAND", "ARG":
		return nil, cobra.ShellCompDirectiveDefault
	}
	p := a.peek(c.Context())
	if p == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := slices.DeleteFunc(namesFor(p, word, args), func(n string) bool { return slices.Contains(args, n) })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// peek reads the file without a word about its faults; nil: it has some.
func (a *app) peek(ctx context.Context) *pipeline.Project {
	vars, err := parseVars(a.vars)
	if err != nil {
		return nil
	}
	loaded, _ := config.Load(config.Options{
		File: a.file, Vars: vars, VarFiles: a.varFiles, Environ: os.Environ(),
		Git: func() (config.Git, error) { return config.ReadGit(ctx, ".") },
	})
	if loaded == nil {
		return nil
	}
	return loaded.Project
}

// namesFor lists what may stand for a word of a usage line.
func namesFor(p *pipeline.Project, word string, args []string) []string {
	if one, other, both := strings.Cut(word, "|"); both {
		return slices.Concat(namesFor(p, one, args), namesFor(p, other, args))
	}
	switch word, _, _ = strings.Cut(strings.Trim(word, "[]…"), "["); word {
	case "ENV", "FROM", "TO":
		return environmentNames(p)
	case "HOST":
		return slices.DeleteFunc(sortedNames(p.Hosts), func(n string) bool { return n == pipeline.LocalHost })
	case "TARGET":
		return sortedNames(p.Targets)
	case "SERVICE":
		return sortedNames(p.Services)
	case "NAME", "TASK":
		if len(args) > 0 && p.Environment(args[0]) != nil {
			return slices.Sorted(maps.Keys(p.Environment(args[0]).Tasks))
		}
		return sortedNames(p.Tasks)
	}
	return nil
}

func environmentNames(p *pipeline.Project) []string {
	var names []string
	for _, e := range p.Environments {
		names = append(names, e.Name)
	}
	return names
}
