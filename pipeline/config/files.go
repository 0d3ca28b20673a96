package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dray/pipeline/phrase"
)

// Names of the file that a project is described in.
const (
	FileName     = "dray.hcl"
	FileNameJSON = "dray.hcl.json"
)

// maxFileSize bounds a file that is read as configuration or by file().
const maxFileSize = 4 << 20

// findFiles returns the paths of the files that describe the project, the main
// one first, each as the user would type it, and the folder they are in.
func (l *loader) findFiles() (paths []string, dir string) {
	if l.opts.File != "" {
		return []string{l.opts.File}, filepath.Dir(l.opts.File)
	}
	start := l.opts.Dir
	if start == "" {
		start = "."
	}
	for dir = start; ; dir = filepath.Join(dir, "..") {
		if main := mainFile(dir); main != "" {
			return append([]string{main}, siblings(dir, main)...), dir
		}
		abs, err := filepath.Abs(dir)
		if err != nil || abs == filepath.Dir(abs) {
			break
		}
	}
	where := "this folder"
	if start != "." {
		where = start
	}
	l.faultAt(nil, "No "+FileName,
		"There is no %s in %s, nor in a folder above it. dray init writes one; --file names another.", FileName, where)
	return nil, start
}

func mainFile(dir string) string {
	for _, name := range []string{FileName, FileNameJSON} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// siblings returns the *.dray.hcl files of dir, and their JSON variants.
func siblings(dir, main string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // the main file was found there; reading it reports what is wrong
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || filepath.Join(dir, name) == main {
			continue
		}
		if strings.HasSuffix(name, ".dray.hcl") || strings.HasSuffix(name, ".dray.hcl.json") || name == FileNameJSON {
			out = append(out, filepath.Join(dir, name))
		}
	}
	slices.Sort(out)
	return out
}

// parse reads and parses one file and keeps it for its source lines.
func (l *loader) parse(path string) {
	src, err := readBounded(path)
	if err != nil {
		l.faultAt(nil, "Cannot read "+path, "%s.", phrase.Capital(phrase.Cause(err)))
		return
	}
	l.parseBytes(path, src)
}

func (l *loader) parseBytes(path string, src []byte) {
	file, diags := parseFile(path, src)
	l.files[path] = file
	l.diags = append(l.diags, diags...)
	if !diags.HasErrors() {
		l.bodies = append(l.bodies, file.Body)
	}
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() > maxFileSize {
		return nil, fmt.Errorf("%s has %d bytes, which is more than the %d that dray reads", path, info.Size(), maxFileSize)
	}
	return os.ReadFile(path)
}
