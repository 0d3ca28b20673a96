package ssh

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// evaluate reads configuration files for one host, as ssh does: from the top,
// the first value of a keyword counts, and conditions see what is set above
// them. Where a condition asks for it (Match final), everything is read once
// more with the host name that was found. Source: ssh_config(5).
func evaluate(ctx context.Context, files []configFile, q query) (settings, error) {
	r := &reading{ctx: ctx, query: q, host: q.alias, set: settings{}}
	if q.login != "" {
		r.set["user"] = []string{q.login}
	}
	if q.port != "" {
		r.set["port"] = []string{q.port}
	}
	if err := r.files(files); err != nil {
		return nil, err
	}
	name, err := r.hostName()
	if err != nil {
		return nil, err
	}
	r.set["hostname"] = []string{strings.ToLower(name)}
	if r.again {
		r.final, r.host = true, r.set.first("hostname")
		if err := r.files(files); err != nil {
			return nil, err
		}
	}
	if r.set.first("proxyjump") == "none" {
		delete(r.set, "proxyjump")
	}
	return r.set, r.expandKnownHosts()
}

// reading is one evaluation; its context ends with it.
type reading struct {
	ctx   context.Context //nolint:containedctx // of the one call of evaluate
	query query
	host  string // what Host patterns are compared with
	set   settings
	final bool // this is the second pass
	again bool // a second pass is asked for
}

func (r *reading) files(files []configFile) error {
	for _, f := range files {
		if err := r.file(f, true, 0); err != nil {
			return fmt.Errorf("reading the SSH configuration: %w", err)
		}
	}
	return nil
}

const deepestInclude = 16

// file reads one file. Its lines count from the beginning when active is set.
func (r *reading) file(f configFile, active bool, depth int) error {
	if depth > deepestInclude {
		return fmt.Errorf("%s: more than %d files include each other", f.path, deepestInclude)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	b := &block{reading: r, file: f, active: active, reached: active, depth: depth}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if err := b.line(line); err != nil {
			return fmt.Errorf("%s:%d: %w", f.path, number, err)
		}
	}
	return nil
}

// block is the Host or Match block that is being read.
type block struct {
	*reading
	file    configFile
	active  bool // it is about the host
	reached bool // the file itself is
	depth   int
}

func (b *block) line(line string) error {
	keyword, rest := splitKeyword(line)
	if keyword == "" {
		return nil
	}
	keyword = modern(keyword)
	if isCommand(keyword) {
		if b.active {
			b.command(keyword, rest)
		}
		return nil
	}
	args, err := splitArgs(rest)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return fmt.Errorf("%s has no value", keyword)
	}
	switch keyword {
	case "host":
		b.active = b.reached && matchHost(args, b.host)
	case "match":
		matched, err := b.match(args)
		if err != nil {
			return err
		}
		b.active = b.reached && matched
	case "include":
		return b.include(args)
	default:
		if b.active {
			b.value(keyword, args)
		}
	}
	return nil
}

// modern returns a keyword in lower case, under the name that it has today.
func modern(keyword string) string {
	keyword = strings.ToLower(keyword)
	if keyword == "pubkeyacceptedkeytypes" {
		return "pubkeyacceptedalgorithms"
	}
	return keyword
}

// isCommand tells whether a keyword's value is the rest of its line as it is.
func isCommand(keyword string) bool {
	return slices.Contains([]string{"proxycommand", "proxyjump", "knownhostscommand", "localcommand", "remotecommand"}, keyword)
}

// command sets a command. Of ProxyCommand and ProxyJump the first one counts.
func (b *block) command(keyword, rest string) {
	if keyword == "proxyjump" || keyword == "proxycommand" {
		other := map[string]string{"proxyjump": "proxycommand", "proxycommand": "proxyjump"}[keyword]
		if first := b.set.first(other); first != "" && (first != "none" || other == "proxycommand") {
			return
		}
	}
	if b.set[keyword] == nil {
		b.set[keyword] = []string{rest}
	}
}

// value sets any other keyword, unless it is set already.
func (b *block) value(keyword string, args []string) {
	switch keyword {
	case "identityfile", "certificatefile":
		if !slices.Contains(b.set[keyword], args[0]) {
			b.set[keyword] = append(b.set[keyword], args[0])
		}
		return
	case "userknownhostsfile", "globalknownhostsfile":
	default:
		args = args[:1]
	}
	if b.set[keyword] == nil {
		b.set[keyword] = args
	}
}

// include reads the files that an Include line names. What matches no file is
// no fault.
func (b *block) include(patterns []string) error {
	dir := homePath(".ssh")
	if b.file.system {
		dir = systemDir()
	}
	for _, pattern := range patterns {
		pattern = expandHome(pattern)
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("include %s: %w", pattern, err)
		}
		for _, path := range paths {
			if err := b.reading.file(configFile{path, b.file.system}, b.active, b.depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// expandKnownHosts replaces the tokens of UserKnownHostsFile, as ssh -G does
// for this keyword alone.
func (r *reading) expandKnownHosts() error {
	paths := slices.Clone(r.set["userknownhostsfile"])
	for i, path := range paths {
		expanded, err := expandTokens(expandHome(path), r.set.tokens(r.query, r.set.first("hostname")).all(), true)
		if err != nil {
			return fmt.Errorf("UserKnownHostsFile %w", err)
		}
		paths[i] = expanded
	}
	if paths != nil {
		r.set["userknownhostsfile"] = paths
	}
	return nil
}

// hostName returns the host's name so far: HostName with its tokens replaced.
func (r *reading) hostName() (string, error) {
	name := r.set.first("hostname")
	if name == "" {
		return r.host, nil
	}
	return expandTokens(name, map[byte]string{'h': r.host}, false)
}

// splitKeyword splits "Keyword value", "Keyword=value" and "Keyword = value".
func splitKeyword(line string) (keyword, rest string) {
	line = strings.TrimSpace(line)
	if line == "" || strings.HasPrefix(line, "#") {
		return "", ""
	}
	i := strings.IndexAny(line, " \t=")
	if i < 0 {
		return line, ""
	}
	rest = strings.TrimSpace(line[i:])
	if after, ok := strings.CutPrefix(rest, "="); ok {
		rest = strings.TrimSpace(after)
	}
	return line[:i], rest
}

// splitArgs splits a line's words. Quotes of either kind hold one together, a
// backslash takes a quote, a backslash or a space as it is, and a word that
// begins with # begins a comment.
func splitArgs(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, open := byte(0), false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && (strings.IndexByte(`"'\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
			i++
			word.WriteByte(s[i])
			open = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, open = c, true
		case c == ' ' || c == '\t':
			if open {
				words = append(words, word.String())
			}
			word.Reset()
			open = false
		case c == '#' && !open:
			return words, nil
		default:
			word.WriteByte(c)
			open = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote is not closed: %s", s)
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}
