// Package starter is what a project begins with: a first dray.hcl, and secrets that
// git passes over.
package starter

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dray/pipeline/secret"
)

// Write writes a first dray.hcl into dir, and keeps its folder of secrets out of
// git.
func Write(dir string) error {
	file := filepath.Join(dir, "dray.hcl")
	if err := os.WriteFile(file, fmt.Appendf(nil, firstFile, projectName(filepath.Base(dir))), 0o644); err != nil {
		return fmt.Errorf("writing dray.hcl: %w", err)
	}
	if err := ignoreSecrets(filepath.Join(dir, ".gitignore")); err != nil {
		return fmt.Errorf("keeping %s out of git: %w", secret.Folder, err)
	}
	return nil
}

// ignoreSecrets has git pass over the folder of secrets, by this .gitignore.
func ignoreSecrets(file string) error {
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(before)) {
		if strings.Trim(strings.TrimSpace(line), "/") == secret.Folder {
			return nil
		}
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
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

// firstFile is the first dray.hcl, for a project name.
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
