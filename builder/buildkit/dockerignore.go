package buildkit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"dray/builder"
	"dray/pipeline"
)

const ignoreFile = ".dockerignore"

// checkIgnored finds patterns that can't be read. The builder would find them
// too, without their place.
func (s *source) checkIgnored(req builder.Request) error {
	context := filepath.Join(req.Target.Context, ignoreFile)
	for _, file := range []string{s.dockerfile + ignoreFile, context} {
		if file != context && s.path == "" {
			continue
		}
		path := file
		if !filepath.IsAbs(path) {
			path = filepath.Join(req.Dir, path)
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		return badPattern(req.Target.Name, file, string(data)) // the Dockerfile's own is used instead of the context's
	}
	return nil
}

// badPattern reads an ignore file line by line.
func badPattern(target, file, text string) error {
	number := 0
	for line := range strings.Lines(text) {
		number++
		patterns, err := ignorefile.ReadAll(strings.NewReader(line))
		if err == nil {
			_, err = patternmatcher.New(patterns)
		}
		if err == nil {
			continue
		}
		return &builder.Failure{
			Target: target, At: pipeline.Pos{File: file, Line: number, Column: 1}, EndLine: number, Err: err,
			Source: []builder.SourceLine{{Number: number, Text: strings.TrimRight(line, "\r\n"), Fault: true}},
			Reason: fmt.Sprintf("the pattern %q can't be read: %v", strings.TrimSpace(line), err),
			Next:   fmt.Sprintf(`close its bracket, or write a backslash before a character that is meant as it is; dray build %s tries it by itself`, target),
		}
	}
	return nil
}
