package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

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
			if err := os.WriteFile("dray.hcl", fmt.Appendf(nil, firstFile, projectName(filepath.Base(dir))), 0o644); err != nil {
				return fmt.Errorf("writing dray.hcl: %w", err)
			}
			if err := ignoreSecrets(); err != nil {
				return fmt.Errorf("keeping %s out of git: %w", secret.Folder, err)
			}
			return a.result(map[string]string{"file": "dray.hcl"}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "Wrote dray.hcl. Put your host's address in it, then: dray validate, dray host check, dray deploy dev\nGit passes over "+secret.Folder+"/, where secrets can lie.")
				return err
			})
		},
	}
}

// ignoreSecrets has git pass over the folder of secrets.
func ignoreSecrets() error {
	before, err := os.ReadFile(".gitignore")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(before)) {
		if strings.Trim(strings.TrimSpace(line), "/") == secret.Folder {
			return nil
		}
	}
	f, err := os.OpenFile(".gitignore", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	line := secret.Folder + "/\n"
	if len(before) > 0 && before[len(before)-1] != '\n' {
		line = "\n" + line
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// projectName makes a folder's name fit for a project.
func projectName(dir string) string {
	var b []byte
	for _, c := range []byte(dir) {
		switch {
		case c >= 'A' && c <= 'Z':
			b = append(b, c+'a'-'A')
		case c >= 'a' && c <= 'z', len(b) > 0 && (c >= '0' && c <= '9' || c == '-'):
			b = append(b, c)
		}
	}
	if b = bytes.TrimRight(b, "-"); len(b) == 0 {
		return "app"
	}
	return string(b[:min(len(b), 40)])
}

const firstFile = `project = %q

target "web" {
  context = "." # where the Dockerfile is
}

service "web" {
  image = target.web
  port "http" {
    to      = 8080 # in the container
    publish = 80   # on the host
  }
  check {
    type = "http"
    port = "http"
    path = "/"
  }
}

host "h1" { address = "ssh://root@h1.example.com" }

environment "dev" { hosts = [host.h1] }
`

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
