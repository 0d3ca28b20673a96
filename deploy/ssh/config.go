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
	files []*ssh_config.Config
}

// readConfig reads file, or the usual files when file is "".
func readConfig(file string) (*clientConfig, error) {
	if file == "" {
		file = os.Getenv(EnvConfig)
	}
	switch file {
	case "none":
		return &clientConfig{}, nil
	case "":
		c := &clientConfig{}
		for _, path := range []string{homePath(".ssh/config"), systemConfig} {
			err := c.add(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		return c, nil
	}
	c := &clientConfig{}
	return c, c.add(expandHome(file))
}

func (c *clientConfig) add(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the SSH configuration: %w", err)
	}
	parsed, err := parseConfig(text, filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("reading the SSH configuration %s: %w", path, err)
	}
	c.files = append(c.files, parsed)
	return nil
}

// parseConfig parses a file whose relative includes are in dir.
func parseConfig(text []byte, dir string) (*ssh_config.Config, error) {
	return ssh_config.DecodeBytes(flatten(text, dir, 0))
}

// first returns the first value of a keyword for an alias: the first one that
// the files give counts, as in ssh_config(5).
func (c *clientConfig) first(alias, keyword string) string {
	if all := c.all(alias, keyword); len(all) > 0 {
		return all[0]
	}
	return ""
}

// all returns every value of a keyword for an alias.
func (c *clientConfig) all(alias, keyword string) []string {
	var values []string
	for _, file := range c.files {
		found, err := file.GetAll(alias, keyword)
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
// files' contents, and Match lines by Host lines. A Match on anything but the
// host (exec, user, canonical, …) never applies.
func flatten(text []byte, dir string, depth int) []byte {
	var out bytes.Buffer
	block := "" // the Host line that is open; it goes on after an Include
	for line := range strings.Lines(string(text)) {
		keyword, rest := splitKeyword(line)
		switch strings.ToLower(keyword) {
		case "include":
			if depth < deepestInclude {
				out.Write(include(rest, dir, depth+1))
			}
			out.WriteString("\n" + block + "\n")
			if block == "" {
				out.WriteString("Host *\n")
			}
			continue
		case "match":
			line = matchToHost(rest) + "\n"
			block = strings.TrimSpace(line)
		case "host":
			block = strings.TrimSpace(line)
		}
		out.WriteString(strings.TrimRight(line, "\r\n") + "\n")
	}
	return out.Bytes()
}

// include returns the contents of the files that an Include line names. Files
// that can't be read are left out, as OpenSSH does.
func include(patterns, dir string, depth int) []byte {
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
				out = append(append(out, flatten(text, dir, depth)...), '\n')
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
