package config

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// Git is the state of a checkout. The zero value is no checkout.
type Git struct {
	SHA    string
	Branch string    // "" when no branch is checked out
	Dirty  bool      // files differ from the commit, or are not in it
	Time   time.Time // of the commit
}

// gitFields are the names under git in an expression.
var gitFields = []string{"branch", "dirty", "sha", "short", "time"}

// gitValue returns the object git. Outside a checkout its fields are null.
func (l *loader) gitValue() cty.Value {
	var g Git
	var err error
	if l.opts.Git != nil {
		g, err = l.opts.Git()
	}
	if err != nil {
		l.faultAt(nil, "Cannot read the git checkout", "%s.", upperFirst(err.Error()))
	}
	if g.SHA == "" {
		l.noGit = true
		null := cty.NullVal(cty.String)
		return cty.ObjectVal(map[string]cty.Value{
			"sha": null, "short": null, "branch": null, "time": null, "dirty": cty.NullVal(cty.Bool),
		})
	}
	branch := cty.NullVal(cty.String)
	if g.Branch != "" {
		branch = cty.StringVal(g.Branch)
	}
	return cty.ObjectVal(map[string]cty.Value{
		"sha":    cty.StringVal(g.SHA),
		"short":  cty.StringVal(g.SHA[:min(7, len(g.SHA))]),
		"branch": branch,
		"dirty":  cty.BoolVal(g.Dirty),
		"time":   cty.StringVal(g.Time.UTC().Format(time.RFC3339)),
	})
}

// ReadGit asks git about the checkout around dir. Outside a checkout, in one
// without a commit, or on a machine without git, it returns the zero value.
func ReadGit(ctx context.Context, dir string) (Git, error) {
	status, err := exec.CommandContext(ctx, "git", "-C", dir, "status", "--porcelain=v2", "--branch").Output()
	if err != nil {
		if ctx.Err() != nil {
			return Git{}, fmt.Errorf("asking git: %w", context.Cause(ctx))
		}
		return Git{}, nil // no git, or no checkout
	}
	g := parseStatus(status)
	if g.SHA == "" {
		return Git{}, nil
	}
	when, err := exec.CommandContext(ctx, "git", "-C", dir, "log", "-1", "--format=%ct", g.SHA).Output()
	if err != nil {
		return Git{}, fmt.Errorf("asking git for the time of %s: %w", g.SHA, err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(when)), 10, 64)
	if err != nil {
		return Git{}, fmt.Errorf("reading git's time of %s: %w", g.SHA, err)
	}
	g.Time = time.Unix(seconds, 0).UTC()
	return g, nil
}

// parseStatus reads git status --porcelain=v2 --branch (git-status(1)).
func parseStatus(out []byte) Git {
	var g Git
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if oid, ok := strings.CutPrefix(line, "# branch.oid "); ok && oid != "(initial)" {
			g.SHA = oid
		} else if head, ok := strings.CutPrefix(line, "# branch.head "); ok && head != "(detached)" {
			g.Branch = head
		} else if !strings.HasPrefix(line, "#") {
			g.Dirty = true
		}
	}
	return g
}
