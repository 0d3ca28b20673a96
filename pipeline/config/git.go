package config

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"dray/pipeline/phrase"
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
		l.faultAt(nil, "Cannot read the git checkout", "%s.", phrase.Capital(err.Error()))
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

// ReadGit reads the checkout around dir with git. Where there is no checkout,
// none with a commit, or no git program, it returns the zero value. A git that
// fails on a checkout is an error: a release without its commit would look as
// if it came from no checkout.
func ReadGit(ctx context.Context, dir string) (Git, error) {
	status, err := runGit(ctx, dir, "status", "--porcelain=v2", "--branch")
	switch {
	case errors.Is(err, errNoCheckout):
		return Git{}, nil
	case err != nil:
		return Git{}, fmt.Errorf("asking git about %s: %w", dir, err)
	}
	g := parseStatus(status)
	if g.SHA == "" {
		return Git{}, nil
	}
	when, err := runGit(ctx, dir, "log", "-1", "--format=%ct", g.SHA)
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

// errNoCheckout is for a folder in no checkout, and a machine without git.
var errNoCheckout = errors.New("no checkout")

// runGit returns what a git command prints. It takes no locks, so that it never
// stands in the way of somebody's commit, and speaks English, so that its
// errors can be told apart.
func runGit(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--no-optional-locks", "-C", dir}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrNotFound) || !hasCheckout(dir) {
		return nil, errNoCheckout
	}
	var failed *exec.ExitError
	if !errors.As(err, &failed) || len(bytes.TrimSpace(failed.Stderr)) == 0 {
		return nil, err
	}
	words := strings.TrimSpace(string(failed.Stderr))
	if outOfReach(words) {
		return nil, errNoCheckout
	}
	return nil, errors.New("git says: " + quoteGit(words))
}

// outOfReach reports whether git means a checkout that it was told not to use: a
// bare repository, or one behind the border of a file system or of
// GIT_CEILING_DIRECTORIES.
func outOfReach(words string) bool {
	return strings.Contains(words, "must be run in a work tree") ||
		strings.Contains(words, "not a git repository (or any parent up to mount point") ||
		os.Getenv("GIT_CEILING_DIRECTORIES") != "" && strings.Contains(words, "not a git repository (or any")
}

// quoteGit returns git's words on one line, with what puts them right where
// git's own advice is easily overlooked or is none.
func quoteGit(words string) string {
	first, _, _ := strings.Cut(words, "\n")
	if !strings.Contains(words, "dubious ownership") {
		return strings.Join(strings.Fields(words), " ")
	}
	folder := "FOLDER"
	if _, rest, ok := strings.Cut(first, "'"); ok {
		folder, _, _ = strings.Cut(rest, "'")
	}
	return first + ". The checkout belongs to another user, as is usual in a CI container: run git config --global --add safe.directory " + folder
}

// hasCheckout reports whether dir is in a checkout, by what git looks for: a
// .git in it or above it, or the variable GIT_DIR.
func hasCheckout(dir string) bool {
	if os.Getenv("GIT_DIR") != "" {
		return true
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return true // git's own words say more
	}
	for {
		if _, err := os.Lstat(filepath.Join(abs, ".git")); err == nil {
			return true
		}
		above := filepath.Dir(abs)
		if above == abs {
			return false
		}
		abs = above
	}
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
