package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kevinburke/ssh_config"
)

// EnvConfig names the variable with the path of the SSH client's configuration
// to use instead of ~/.ssh/config and /etc/ssh/ssh_config; "none" is no file.
const EnvConfig = "DRAY_SSH_CONFIG"

const systemConfig = "/etc/ssh/ssh_config"

// clientConfig answers questions to the SSH client's configuration files, the
// user's before the system's.
type clientConfig struct {
	files []configFile
}

type configFile struct {
	path string
	text []byte
}

// readConfig reads file, or the usual files when file is "".
func readConfig(file string) (*clientConfig, error) {
	if file == "" {
		file = os.Getenv(EnvConfig)
	}
	paths, must := []string{expandHome(file)}, true
	switch file {
	case "none":
		return &clientConfig{}, nil
	case "":
		paths, must = []string{homePath(".ssh/config"), systemConfig}, false
	}
	c := &clientConfig{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && !must {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the SSH configuration: %w", err)
		}
		c.files = append(c.files, configFile{path, text})
	}
	return c, nil
}

// settings are the configuration of one alias.
type settings struct {
	alias string
	files []*ssh_config.Config
}

// of returns the settings of an alias.
func (c *clientConfig) of(alias string) (*settings, error) {
	s := &settings{alias: alias}
	for _, file := range c.files {
		parsed, err := ssh_config.DecodeBytes(flatten(file.text, filepath.Dir(file.path), alias, 0))
		if err != nil {
			return nil, fmt.Errorf("reading the SSH configuration %s: %w", file.path, err)
		}
		s.files = append(s.files, parsed)
	}
	return s, nil
}

// first returns the first value of a keyword: the first one that the files
// give counts, as in ssh_config(5).
func (s *settings) first(keyword string) string {
	if all := s.all(keyword); len(all) > 0 {
		return all[0]
	}
	return ""
}

// all returns every value of a keyword.
func (s *settings) all(keyword string) []string {
	var values []string
	for _, file := range s.files {
		found, err := file.GetAll(s.alias, keyword)
		if err != nil {
			continue // only an unknown node, which the parser does not make
		}
		values = append(values, found...)
	}
	return values
}

const (
	deepestInclude = 16
	// never is a pattern for blocks whose condition dray does not evaluate.
	never = "dray.no-such-host.invalid"
)

// flatten gives the parser what it understands: Include lines replaced by the
// files' contents, where their block is about alias, and Match lines by Host
// lines. A Match on anything but the host (exec, user, canonical, …) never
// applies.
func flatten(text []byte, dir, alias string, depth int) []byte {
	var out bytes.Buffer
	block := "Host *" // the one that is open; it goes on after an Include
	for line := range strings.Lines(string(text)) {
		keyword, rest := splitKeyword(line)
		switch strings.ToLower(keyword) {
		case "include":
			if depth < deepestInclude && isAbout(block, alias) {
				out.Write(include(uncomment(rest), dir, alias, depth+1))
			}
			line = "\n" + block
		case "match":
			block = matchToHost(uncomment(rest))
			line = block
		case "host":
			block = "Host " + strings.Join(fields(uncomment(rest)), " ")
			line = block
		}
		out.WriteString(strings.TrimRight(line, "\r\n") + "\n")
	}
	return out.Bytes()
}

// isAbout tells whether a Host line matches an alias.
func isAbout(block, alias string) bool {
	return knownKey{patterns: strings.Fields(block)[1:]}.matches(alias)
}

// include returns the contents of the files that an Include line names. Files
// that can't be read are left out, as OpenSSH does.
func include(patterns, dir, alias string, depth int) []byte {
	var out []byte
	for _, pattern := range fields(patterns) {
		pattern = expandHome(pattern)
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		paths, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		for _, path := range paths {
			if text, err := os.ReadFile(path); err == nil {
				out = append(append(out, flatten(text, dir, alias, depth)...), '\n')
			}
		}
	}
	return out
}

// matchToHost turns the criteria of a Match line into a Host line.
func matchToHost(criteria string) string {
	words := fields(criteria)
	var patterns []string
	for i := 0; i < len(words); i++ {
		switch strings.ToLower(words[i]) {
		case "all":
			patterns = append(patterns, "*")
		case "host", "originalhost":
			if i+1 == len(words) || len(patterns) > 0 {
				return "Host " + never
			}
			i++
			patterns = strings.FieldsFunc(words[i], func(r rune) bool { return r == ',' })
		default:
			return "Host " + never
		}
	}
	if len(patterns) == 0 {
		return "Host " + never
	}
	return "Host " + strings.Join(patterns, " ")
}

// splitKeyword splits "Keyword value" and "Keyword = value".
func splitKeyword(line string) (keyword, rest string) {
	line = strings.TrimSpace(line)
	i := strings.IndexAny(line, " \t=")
	if i < 0 || strings.HasPrefix(line, "#") {
		return line, ""
	}
	rest = strings.TrimSpace(line[i:])
	if after, ok := strings.CutPrefix(rest, "="); ok {
		rest = strings.TrimSpace(after)
	}
	return line[:i], rest
}

// uncomment drops a comment at a line's end.
func uncomment(rest string) string {
	before, _, _ := strings.Cut(rest, " #")
	return before
}

// fields splits words; double quotes hold one together.
func fields(s string) []string {
	var words []string
	var word strings.Builder
	quoted, open := false, false
	for _, r := range s {
		switch {
		case r == '"':
			quoted, open = !quoted, true
		case (r == ' ' || r == '\t') && !quoted:
			if open {
				words = append(words, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if open {
		words = append(words, word.String())
	}
	return words
}

func homePath(sub string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join("/nonexistent", sub) // no home: no file of it exists
	}
	return filepath.Join(home, filepath.FromSlash(sub))
}

func expandHome(path string) string {
	if path == "~" {
		return homePath("")
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return homePath(rest)
	}
	return path
}
