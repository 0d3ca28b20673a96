package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// EnvConfig names the variable with the path of the SSH client's configuration
// to use instead of the user's and the system's; "none" is no file.
const EnvConfig = "DRAY_SSH_CONFIG"

// query is what the SSH configuration is asked about.
type query struct {
	alias string // as written in the address
	login string // as written there, or ""
	port  string // as above
}

// settings are what the SSH configuration sets for one host: values by keyword
// in lower case. A keyword that is left at ssh's default is not there.
type settings map[string][]string

// first returns a keyword's value, or "".
func (s settings) first(keyword string) string {
	if values := s[keyword]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// clientConfig answers what the SSH configuration says. ssh itself is asked
// where there is one, so that dray understands the configuration as ssh does;
// otherwise dray reads the files by itself, which does all but what the
// network must be asked for (CanonicalizeHostname).
type clientConfig struct {
	files []configFile // the user's before the system's
	usual bool         // they are the usual files
	ssh   *sshProgram  // nil: dray reads the files by itself
}

type configFile struct {
	path   string
	system bool // its relative Includes are in the system's folder
}

// openConfig looks for the file, or for the usual files when file is "".
func openConfig(file string, program *sshProgram) (*clientConfig, error) {
	if file == "" {
		file = os.Getenv(EnvConfig)
	}
	switch file {
	case "none":
		return &clientConfig{}, nil
	case "":
		c := &clientConfig{usual: true, ssh: program}
		for _, f := range []configFile{{path: homePath(".ssh/config")}, {path: filepath.Join(systemDir(), "ssh_config"), system: true}} {
			if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			c.files = append(c.files, f)
		}
		return c, nil
	}
	path := expandHome(file)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("reading the SSH configuration: %w", err)
	}
	return &clientConfig{files: []configFile{{path: path}}, ssh: program}, nil
}

// of returns what is set for a host.
func (c *clientConfig) of(ctx context.Context, q query) (settings, error) {
	if len(c.files) == 0 {
		return settings{}, nil
	}
	if c.ssh != nil {
		set, err := c.ssh.ask(ctx, c, q)
		if !errors.Is(err, errCannotAnswer) {
			return set, err
		}
	}
	return evaluate(ctx, c.files, q)
}

// systemDir is where the system's SSH configuration is.
func systemDir() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("ProgramData"), "ssh")
	}
	return "/etc/ssh"
}

func homePath(sub string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join("/nonexistent", sub) // no home: no file of it exists
	}
	return filepath.Join(home, filepath.FromSlash(sub))
}

// expandHome replaces ~ and ~NAME at the beginning of a path.
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok {
		return path
	}
	name, sub, _ := strings.Cut(rest, "/")
	if name == "" {
		return homePath(sub)
	}
	if u, err := user.Lookup(name); err == nil {
		return filepath.Join(u.HomeDir, sub)
	}
	return path
}

// passwordHome is the home folder in the user database, where ssh looks; HOME
// may name another.
var passwordHome = sync.OnceValue(func() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.HomeDir
})

// localUser returns who runs dray.
func localUser() string {
	if u, err := user.Current(); err == nil {
		if _, name, ok := strings.Cut(u.Username, `\`); ok {
			return name // Windows: DOMAIN\name
		}
		return u.Username
	}
	return cmp.Or(os.Getenv("USER"), os.Getenv("USERNAME"), "root")
}
