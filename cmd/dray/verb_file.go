package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"dray/cmd/internal/starter"
	"dray/pipeline/config"
	"dray/pipeline/durable"
	"dray/pipeline/phrase"
	"dray/pipeline/secret"
)

func initCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Write a first dray.hcl here",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := os.Stat("dray.hcl"); err == nil {
				return &exitError{code: exitFailed, failure: failure("dray.hcl exists here already", "dray validate")}
			}
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			if err := starter.Write(dir); err != nil {
				return err
			}
			return a.result(map[string]string{"file": "dray.hcl"}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "Wrote dray.hcl. Put your host's address in it, then: dray validate, dray host check, dray deploy dev\nGit passes over "+secret.Folder+"/, where secrets can lie.")
				return err
			})
		},
	}
}

func validateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the file; every fault at once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, _, err := a.load(cmd.Context())
			if err != nil {
				return err
			}
			p := loaded.Project
			summary := map[string]any{
				"valid": true, "files": loaded.Files, "targets": len(p.Targets), "services": len(p.Services),
				"hosts": len(p.Hosts), "environments": len(p.Environments),
			}
			return a.result(summary, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is valid: %s, %s, %s, %s.\n", loaded.Files[0], phrase.Count(len(p.Targets), "target"),
					phrase.Count(len(p.Services), "service"), phrase.Count(len(p.Hosts), "host"), phrase.Count(len(p.Environments), "environment"))
				return err
			})
		},
	}
}

func configCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Show what the file says, resolved, as JSON",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, _, err := a.load(cmd.Context())
			if err != nil {
				return err
			}
			return a.result(loaded.Project, func(w io.Writer) error {
				encoder := json.NewEncoder(w)
				encoder.SetEscapeHTML(false)
				encoder.SetIndent("", "  ")
				return encoder.Encode(loaded.Project)
			})
		},
	}
}

func fmtCommand(a *app) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE…]",
		Short: "Put files into the usual form",
		Long:  "fmt rewrites the named files, or dray.hcl and *.dray.hcl here. \"-\" is stdin to stdout.",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = a.ownFiles()
			}
			if len(args) == 0 {
				return &exitError{code: exitFailed, failure: failure("there is no dray.hcl here to format", "dray init, or dray fmt FILE")}
			}
			var changed []formatted
			for _, name := range args {
				different, err := a.format(name, check)
				if err != nil {
					return err
				}
				if different {
					changed = append(changed, formatted{File: name})
				}
			}
			if slices.Equal(args, []string{"-"}) {
				return nil
			}
			err := results(a, changed, func(w io.Writer) error {
				for _, f := range changed {
					fmt.Fprintln(w, f.File)
				}
				return nil
			})
			if err == nil && check && len(changed) > 0 {
				return &exitError{code: exitFailed, failure: failure(phrase.Count(len(changed), "file")+phrase.IsAre(len(changed))+"not in the usual form", "dray fmt")}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; fail if something would change")
	return cmd
}

// formatted is a file that had another form, or what stdin is in the usual one.
type formatted struct {
	File string `json:"file"`
	Text string `json:"text,omitempty"` // of stdin
}

// ownFiles lists the project's files: the one that --file names, or those here.
func (a *app) ownFiles() []string {
	if a.file != "" {
		return []string{a.file}
	}
	files, _ := filepath.Glob("*.dray.hcl") // the pattern is sound
	if _, err := os.Stat("dray.hcl"); err == nil {
		files = append([]string{"dray.hcl"}, files...)
	}
	return files
}

// format rewrites one file and tells whether it changed.
func (a *app) format(name string, check bool) (bool, error) {
	var src []byte
	var err error
	if name == "-" {
		src, err = io.ReadAll(os.Stdin)
	} else {
		src, err = os.ReadFile(name)
	}
	if err != nil {
		return false, fmt.Errorf("formatting: %w", err)
	}
	text, diags := config.Format(name, src)
	if diags.HasErrors() {
		a.showDiagnostics(diags)
		return false, &exitError{code: exitFailed}
	}
	if name == "-" {
		return false, a.result(formatted{File: name, Text: string(text)}, func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		})
	}
	if bytes.Equal(src, text) || check {
		return !bytes.Equal(src, text), nil
	}
	info, err := os.Stat(name)
	if err == nil {
		err = durable.Write(name, text, info.Mode())
	}
	if err != nil {
		return true, fmt.Errorf("formatting %s: %w", name, err)
	}
	return true, nil
}
