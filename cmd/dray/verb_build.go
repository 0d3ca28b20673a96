package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/pipeline/run"
)

func buildCommand(a *app) *cobra.Command {
	var noCache, push, verify bool
	cmd := &cobra.Command{
		Use:   "build [TARGET|GROUP…]",
		Short: "Build images into the image store of this user",
		Long: `build builds the named targets and groups, and prints their digests. Without
names it builds the group default, as bake does, or else the target default;
where the file has neither, all targets but those that others only inherit. The
same commit gives the same digest; --verify builds twice, the second time
without the cache, and compares.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			names, err := p.selected(args)
			if err != nil {
				return err
			}
			if push && p.spec.Registry == nil {
				return noRegistry(p.spec)
			}
			p.begin("build")
			began := time.Now()
			runner := p.runner()
			runner.Builder = p.builder(noCache)
			built, err := runner.Build(cmd.Context(), names...)
			if err != nil {
				return err
			}
			if verify {
				if err := verifyBuild(cmd, p, built, names); err != nil {
					return err
				}
			}
			if push {
				if err := runner.Push(cmd.Context(), built); err != nil {
					return err
				}
			}
			return a.printBuilt(built, began)
		},
	}
	cmd.Flags().BoolVar(&noCache, "no-cache", false, "run every step again")
	cmd.Flags().BoolVar(&push, "push", false, "push to the project's registry, too")
	cmd.Flags().BoolVar(&verify, "verify", false, "build once more without the cache, and compare digests")
	return cmd
}

func noRegistry(p *pipeline.Project) error {
	return &exitError{code: exitFailed, failure: failure(
		"this project declares no registry, so there is nowhere to push to",
		`add registry { address = "registry.example.com/`+p.Name+`" } to the file, or just deploy: hosts get images over SSH`)}
}

func pushCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "push [TARGET|GROUP…]",
		Short: "Build, then push to the project's registry",
		Long: `push builds what dray build would, and pushes it: under its digest, under the
commit's tag where the checkout is clean, and under the tags that the file
names.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			names, err := p.selected(args)
			if err != nil {
				return err
			}
			if p.spec.Registry == nil {
				return noRegistry(p.spec)
			}
			p.begin("push to " + p.spec.Registry.Address)
			began := time.Now()
			runner := p.runner()
			built, err := runner.Build(cmd.Context(), names...)
			if err != nil {
				return err
			}
			if err := runner.Push(cmd.Context(), built); err != nil {
				return err
			}
			return a.printBuilt(built, began)
		},
	}
}

// selected gives the targets that a build is about, and says which are left
// out.
func (p *project) selected(args []string) ([]string, error) {
	for _, name := range args {
		if p.spec.Targets[name] == nil && p.spec.Groups[name] == nil {
			return nil, &pipeline.UnknownError{Kind: "target or group", Name: name, Declared: append(sortedNames(p.spec.Targets), sortedNames(p.spec.Groups)...)}
		}
	}
	s, err := p.spec.Select(args...)
	if err != nil {
		return nil, err
	}
	if len(s.Targets) == 0 {
		return nil, &exitError{code: exitFailed, failure: failure(
			"the file declares no target, so there is nothing to build", `add target "web" {} beside its Dockerfile, or just deploy: images with a name are pulled`)}
	}
	if len(s.Templates) > 0 {
		p.app.view.Emit(event.Event{
			Type: event.Notice, Stage: "build",
			Text: fmt.Sprintf("no group and no target is called default: building all but %s, which others only inherit", phrase.List(s.Templates)),
		})
	}
	return s.Targets, nil
}

// verifyBuild builds again without the cache and compares.
func verifyBuild(cmd *cobra.Command, p *project, first run.Built, names []string) error {
	again := p.runner()
	again.Builder = p.builder(true)
	second, err := again.Build(cmd.Context(), names...)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(first)) {
		if first[name].Digest != second[name].Digest {
			return &exitError{code: exitFailed, failure: failure(
				fmt.Sprintf("target %s is not reproducible: %s, then %s", name, first[name].Digest, second[name].Digest),
				"look for times, random names or downloads in its RUN steps")}
		}
	}
	return nil
}

// builtTarget is the image of a target.
type builtTarget struct {
	Target string `json:"target"`
	pipeline.ReleaseImage
}

func (a *app) printBuilt(built run.Built, began time.Time) error {
	names := sortedNames(built)
	var lines []builtTarget
	for _, name := range names {
		lines = append(lines, builtTarget{name, built[name]})
	}
	return results(a, lines, func(w io.Writer) error {
		for _, name := range names {
			if _, err := fmt.Fprintf(w, "%s %s  %s  %.1fs\n", built[name].Name, built[name].Digest, phrase.Size(built[name].Size), time.Since(began).Seconds()); err != nil {
				return err
			}
		}
		return nil
	})
}
