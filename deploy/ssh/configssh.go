package ssh

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// sshProgram is the ssh of this machine, which can say how it would connect:
// ssh -G. Source: ssh(1).
type sshProgram struct {
	path string

	mu       sync.Mutex
	defaults settings // what it says without any configuration; nil: not asked yet
}

// errCannotAnswer is an ssh that can't be asked (older than 6.8).
var errCannotAnswer = errors.New("this ssh has no -G")

// findSSH returns the ssh of this machine; nil where there is none, or where
// HOME is not the folder that ssh takes for the user's.
func findSSH() *sshProgram {
	path, err := exec.LookPath("ssh")
	if err != nil {
		return nil
	}
	if home, err := os.UserHomeDir(); runtime.GOOS != "windows" && (err != nil || home != passwordHome()) {
		return nil
	}
	return &sshProgram{path: path}
}

// ask returns what the configuration sets for a host. What equals ssh's
// default is left out, so that dray's own default counts there.
func (p *sshProgram) ask(ctx context.Context, c *clientConfig, q query) (settings, error) {
	var args []string
	if !c.usual {
		args = append(args, "-F", c.files[0].path)
	}
	if q.login != "" {
		args = append(args, "-l", q.login)
	}
	if q.port != "" {
		args = append(args, "-p", q.port)
	}
	set, err := p.run(ctx, append(args, q.alias))
	if err != nil {
		return nil, err
	}
	defaults, err := p.standard(ctx)
	if err != nil {
		return nil, err
	}
	delete(set, "canonicalizehostname") // it is done
	maps.DeleteFunc(set, func(keyword string, values []string) bool {
		return keyword != "hostname" && keyword != "user" && slices.Equal(values, defaults[keyword])
	})
	return set, nil
}

// standard returns what ssh does without any configuration.
func (p *sshProgram) standard(ctx context.Context) (settings, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.defaults == nil {
		set, err := p.run(ctx, []string{"-F", "none", "localhost"})
		if err != nil {
			return nil, err
		}
		p.defaults = set
	}
	return p.defaults, nil
}

func (p *sshProgram) run(ctx context.Context, args []string) (settings, error) {
	cmd := exec.CommandContext(ctx, p.path, append([]string{"-G"}, args...)...) //nolint:gosec // the user's own ssh
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		reason := strings.TrimSpace(stderr.String())
		if strings.Contains(reason, "usage: ssh") || strings.Contains(reason, "unknown option") || strings.Contains(reason, "illegal option") {
			return nil, errCannotAnswer
		}
		return nil, fmt.Errorf("reading the SSH configuration (ssh -G %s): %s", strings.Join(args, " "), cmp.Or(reason, err.Error()))
	}
	return parseSettings(string(out)), nil
}

// parseSettings reads the output of ssh -G: one "keyword value" a line.
func parseSettings(text string) settings {
	set := settings{}
	for line := range strings.Lines(text) {
		keyword, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if !ok {
			continue
		}
		keyword = modern(keyword)
		if keyword == "userknownhostsfile" || keyword == "globalknownhostsfile" {
			set[keyword] = splitPaths(value)
			continue
		}
		set[keyword] = append(set[keyword], value)
	}
	return set
}

// splitPaths splits a list of paths that ssh -G prints without quotes: words
// that only together are the path of a file are one path.
func splitPaths(list string) []string {
	words := strings.Split(list, " ")
	var paths []string
	for len(words) > 0 {
		n := 1
		for i := len(words); i > 1; i-- {
			if _, err := os.Stat(expandHome(strings.Join(words[:i], " "))); err == nil {
				n = i
				break
			}
		}
		paths = append(paths, strings.Join(words[:n], " "))
		words = words[n:]
	}
	return paths
}
