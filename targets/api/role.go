package api

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Right is what a call takes.
type Right string

// Rights, each with the word of the role that has it. Whoever has any role may
// look, at everything on the host.
const (
	RightLook    Right = "look"
	RightDeploy  Right = "deploy"  // and run commands in the environment's containers
	RightApprove Right = "approve" // let releases into the environment
	RightAdmin   Right = "admin"   // everything
)

// Role is what a connection may do on a host. The zero Role may do nothing.
type Role struct {
	text   string
	grants []grant
}

// grant is one right, in one environment or in all of that name.
type grant struct {
	right                Right
	project, environment string // project "": of whatever project
}

// Admin may do everything.
func Admin() Role { return Role{text: string(RightAdmin), grants: []grant{{right: RightAdmin}}} }

// roleName is what the names of projects and environments may hold; see
// docs/FILE.md.
var roleName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)

// ParseRole reads "look", "deploy:ENV", "approve:ENV" and "admin", or several of
// them with commas between. An environment is ENV, of whatever project, or
// PROJECT/ENV.
func ParseRole(text string) (Role, error) {
	r := Role{text: text}
	for word := range strings.SplitSeq(text, ",") {
		g, err := parseGrant(word)
		if err != nil {
			return Role{}, err
		}
		r.grants = append(r.grants, g)
	}
	return r, nil
}

func parseGrant(word string) (grant, error) {
	right, where, scoped := strings.Cut(word, ":")
	g := grant{right: Right(right)}
	switch g.right {
	case RightLook, RightAdmin:
		if scoped {
			return g, fmt.Errorf("role %q: %s is for the whole host", word, right)
		}
		return g, nil
	case RightDeploy, RightApprove:
		project, environment, both := strings.Cut(where, "/")
		if !both {
			project, environment = "", where
		}
		if !roleName.MatchString(environment) || both && !roleName.MatchString(project) {
			return g, fmt.Errorf("role %q: it takes an environment, such as %s:stage or %[2]s:shop/stage", word, right)
		}
		g.project, g.environment = project, environment
		return g, nil
	}
	return g, fmt.Errorf("role %q: there are look, deploy:ENV, approve:ENV and admin", word)
}

// String is the role as it was written.
func (r Role) String() string { return r.text }

// IsAdmin tells whether the role may do everything.
func (r Role) IsAdmin() bool {
	return slices.ContainsFunc(r.grants, func(g grant) bool { return g.right == RightAdmin })
}

// May tells whether the role has a right in an environment. Calls that are no
// environment's ask with "" for both: only look and admin have those.
func (r Role) May(right Right, project, environment string) bool {
	if right == RightLook {
		return len(r.grants) > 0
	}
	return slices.ContainsFunc(r.grants, func(g grant) bool {
		return g.right == RightAdmin ||
			g.right == right && environment != "" && g.environment == environment && (g.project == "" || g.project == project)
	})
}

// MaySomewhere tells whether the role has a right in any environment.
func (r Role) MaySomewhere(right Right) bool {
	return right == RightLook && len(r.grants) > 0 ||
		slices.ContainsFunc(r.grants, func(g grant) bool { return g.right == right || g.right == RightAdmin })
}

// Needed is the role to ask for that has a right in an environment.
func Needed(right Right, environment string) string {
	if environment == "" || right == RightLook || right == RightAdmin {
		return string(right)
	}
	return string(right) + ":" + environment
}
