package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dray/pipeline"
	"dray/pipeline/output"
	"dray/pipeline/phrase"
)

// CommandVariable names the variable of the process that holds a command
// which prints secrets; see Source.Command.
const CommandVariable = "DRAY_SECRETS_COMMAND"

// Folder is where a project keeps files that never leave the machine.
const Folder = ".dray"

// Source finds secrets on the deployer's machine. Each is taken from the first
// of these that has it:
//
//  1. .dray/secrets.ENVIRONMENT, a file of NAME=VALUE lines
//  2. the variable NAME of the process
//  3. .dray/secrets
//  4. what Command prints
//
// The environment's own file comes first, so that a variable which happens to
// be set in somebody's shell does not reach production in its place. NAME= in a
// file is the empty value. An empty variable of the process counts as none: CI
// systems hand out such for secrets that do not exist.
type Source struct {
	Project string
	Dir     string   // folder of dray.hcl
	Environ []string // "NAME=VALUE", usually os.Environ()

	// Command is run by the shell in Dir, once, and only when the files and
	// the process lack something. It finds DRAY_PROJECT, DRAY_ENVIRONMENT and
	// DRAY_SECRETS (the missing names, space separated) and prints NAME=VALUE
	// lines or one JSON object of strings. Empty: CommandVariable of Environ.
	Command string
}

// MissingError names the secrets that have no value anywhere.
type MissingError struct {
	Environment string
	Names       []string // sorted
	Dir         string
	Command     string // the command that was asked, or ""

	Declared map[string]string // name → where the file declares it, as far as the caller knows
}

// Error names all that is missing, and the ways to supply it.
func (e *MissingError) Error() string {
	what := "secret " + e.Names[0] + " has no value"
	if len(e.Names) > 1 {
		what = "secrets " + strings.Join(e.Names, ", ") + " have no value"
	}
	own := filepath.Join(e.Dir, Folder, "secrets."+e.Environment)
	common := filepath.Join(e.Dir, Folder, "secrets")
	out := fmt.Sprintf("%s for %s: write NAME=VALUE into %s or %s, or set a variable of that name", what, e.Environment, own, common)
	if e.Command != "" {
		return out + fmt.Sprintf("; %q did not print it either", e.Command)
	}
	return out + ", or let " + CommandVariable + " name a command that prints it"
}

// Hint says in fewer words what is missing, and how to supply it.
func (e *MissingError) Hint() pipeline.Hint {
	names := slices.Clone(e.Names)
	for i, name := range names {
		if at := e.Declared[name]; at != "" {
			names[i] += " (" + at + ")"
		}
	}
	h := pipeline.Hint{
		Text:       phrase.Count(len(names), "secret") + " without a value for " + e.Environment + ": " + strings.Join(names, ", "),
		Conclusion: "Nothing was changed.",
		Next:       fmt.Sprintf("write %s=… into %s/secrets.%s, or %[2]s/secrets for all environments, or set a variable of that name", e.Names[0], Folder, e.Environment),
	}
	if e.Command != "" {
		h.Detail = fmt.Sprintf("%q did not print it either.", e.Command)
		return h
	}
	h.Next += "; " + CommandVariable + " can name a command that prints it"
	return h
}

// Find returns the values of the named secrets for an environment. When some
// have none, the error is a *MissingError with all of them.
func (s *Source) Find(ctx context.Context, environment string, names []string) (map[string]Value, error) {
	wanted := slices.Compact(slices.Sorted(slices.Values(names)))
	found := map[string]Value{}
	if len(wanted) == 0 {
		return found, nil
	}
	own, err := s.file("secrets." + environment)
	if err != nil {
		return nil, err
	}
	common, err := s.file("secrets")
	if err != nil {
		return nil, err
	}
	take(found, wanted, own)
	take(found, wanted, s.variables())
	missing := take(found, wanted, common)
	if len(missing) == 0 {
		return found, nil
	}
	command := s.command()
	if command != "" {
		printed, err := s.run(ctx, command, environment, missing)
		if err != nil {
			return nil, err
		}
		missing = take(found, wanted, printed)
	}
	if len(missing) > 0 {
		return nil, &MissingError{Environment: environment, Names: missing, Dir: s.Dir, Command: command}
	}
	return found, nil
}

// take adds to found what it lacks and from has, and returns what is lacking
// still.
func take(found map[string]Value, wanted []string, from map[string]string) (missing []string) {
	for _, name := range wanted {
		if _, ok := found[name]; ok {
			continue
		}
		if value, ok := from[name]; ok {
			found[name] = NewValue(value)
		} else {
			missing = append(missing, name)
		}
	}
	return missing
}

// file reads a file of secrets; a missing one has none.
func (s *Source) file(name string) (map[string]string, error) {
	path := filepath.Join(s.Dir, Folder, name)
	src, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading secrets: %w", err)
	}
	values, err := parseLines(string(src))
	if err != nil {
		return nil, fmt.Errorf("reading secrets: %s:%w", path, err)
	}
	return values, nil
}

// variables returns the variables of the process that are not empty.
func (s *Source) variables() map[string]string {
	out := map[string]string{}
	for _, entry := range s.Environ {
		name, value, _ := strings.Cut(entry, "=")
		if value == "" {
			delete(out, name)
		} else {
			out[name] = value
		}
	}
	return out
}

func (s *Source) command() string {
	if s.Command != "" {
		return s.Command
	}
	return s.variables()[CommandVariable]
}

// run runs the command for what is missing.
func (s *Source) run(ctx context.Context, command, environment string, missing []string) (map[string]string, error) {
	cmd := shellCommand(ctx, command)
	cmd.Dir = s.Dir
	cmd.Env = append(slices.Clone(s.Environ),
		"DRAY_PROJECT="+s.Project, "DRAY_ENVIRONMENT="+environment, "DRAY_SECRETS="+strings.Join(missing, " "))
	var stderr output.Tail
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if said := stderr.String(); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return nil, fmt.Errorf("running %q for secrets: %w", command, err)
	}
	values, err := parsePrinted(out)
	if err != nil {
		return nil, fmt.Errorf("reading what %q printed: %w", command, err)
	}
	return values, nil
}

// parsePrinted reads a JSON object, or NAME=VALUE lines. Its errors quote
// nothing of it.
func parsePrinted(out []byte) (map[string]string, error) {
	if text := strings.TrimSpace(string(out)); strings.HasPrefix(text, "{") {
		var values map[string]string
		if err := json.Unmarshal([]byte(text), &values); err != nil {
			return nil, errors.New("it is not a JSON object of strings")
		}
		return maps.Clone(values), nil
	}
	values, err := parseLines(string(out))
	if err != nil {
		return nil, fmt.Errorf("line %w", err)
	}
	return values, nil
}
