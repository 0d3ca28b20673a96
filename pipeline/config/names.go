package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"dray/pipeline/phrase"
)

// check records a fault for every reference to something that the files do
// not declare, and reports whether there was none.
func (s *scope) check(expr hcl.Expression) bool {
	ok := true
	for _, t := range expr.Variables() {
		if !s.checkTraversal(t) {
			ok = false
		}
	}
	return ok
}

func (s *scope) checkTraversal(t hcl.Traversal) bool {
	root, name := t.RootName(), secondName(t)
	switch {
	case s.isVariable(t):
		return true
	case root == "var" || root == "local":
		if name == "" {
			s.l.fault(t.SourceRange(), root+" is not a value", "Write %s.NAME: one of them at a time.", root)
			return false
		}
		return s.declared(t, root, name, s.shortNames(root))
	case slices.Contains(referable, root):
		return name == "" || s.declared(t, root, name, s.names[root]) && s.checkTargetArgument(t)
	case root == "git":
		return name == "" || s.declared(t, root, name, gitFields)
	case s.isRoot(root):
		return true
	case s.nodes["top."+root] != nil:
		s.used[root] = true
		return true
	case len(t) == 1 && slices.Contains(typeWords, root):
		return true // convert(x, string): what else it might be, its evaluation reports
	case root == "each":
		s.l.fault(t.SourceRange(), "each without for_each", "each.key and each.value are those of a block with for_each = ….")
		return false
	}
	s.l.fault(t.SourceRange(), fmt.Sprintf("Unknown name %q", root), "%s", s.whatIs(root))
	return false
}

// typeWords are the types that have names.
var typeWords = []string{"string", "number", "bool", "any"}

// checkTargetArgument records a fault for target.NAME.ARGUMENT where the target
// does not set it.
func (s *scope) checkTargetArgument(t hcl.Traversal) bool {
	key := targetArgument(t)
	if key == "" || s.nodes[key] != nil {
		return true
	}
	s.l.fault(t.SourceRange(), "Reference to an argument that is not set", "Target %q sets no %s itself; what it inherits can't be referred to.",
		secondName(t), t[2].(hcl.TraverseAttr).Name)
	return false
}

// kindNames are how messages call the roots.
var kindNames = map[string]string{"var": "variable", "local": "local value", "git": "git value"}

func (s *scope) declared(t hcl.Traversal, root, name string, names []string) bool {
	if slices.Contains(names, name) {
		return true
	}
	word := kindNames[root]
	if word == "" {
		word = root
	}
	detail := fmt.Sprintf("No %s %q.", word, name)
	if len(names) > 0 {
		detail += fmt.Sprintf(" Declared: %s.%s.", root, strings.Join(names, ", "+root+"."))
	} else {
		detail += " None is declared."
	}
	if near := phrase.Nearest(name, names); near != "" {
		detail += fmt.Sprintf(" Did you mean %s.%s?", root, near)
	}
	s.l.fault(t.SourceRange(), "Reference to undeclared "+word, "%s", detail)
	return false
}

// shortNames returns the names of all nodes under a root, sorted.
func (s *scope) shortNames(root string) []string {
	var out []string
	for _, name := range sortedKeys(s.nodes) {
		if short, ok := strings.CutPrefix(name, root+"."); ok {
			out = append(out, short)
		}
	}
	return out
}

// whatIs returns the detail of a fault: what a name without a root might have
// meant.
func (s *scope) whatIs(name string) string {
	for _, root := range []string{"local", "target", "host", "service", "environment"} {
		names := s.names[root]
		if root == "local" {
			names = s.shortNames(root)
		}
		if slices.Contains(names, name) {
			return fmt.Sprintf("Did you mean %s.%s?", root, name)
		}
	}
	roots := s.roots()
	known := append(s.shortNames("var"), roots...)
	return fmt.Sprintf("Expressions can refer to %s.%s A text stands in quotes.", strings.Join(roots, ", "), phrase.DidYouMean(name, known))
}

// reworded adds to HCL's findings what only dray knows.
func (s *scope) reworded(d *hcl.Diagnostic, expr hcl.Expression) *hcl.Diagnostic {
	out := *d
	for _, t := range expr.Variables() {
		switch root := t.RootName(); {
		case root == "git" && s.l.noGit:
			out.Detail += fmt.Sprintf(" This folder is not a git checkout, so git.%s is null: write coalesce(git.%[1]s, \"none\") to do without.", secondName(t))
			return &out
		case root == "target" && strings.HasPrefix(d.Summary, "Invalid template"):
			out.Detail = fmt.Sprintf("A target is referred to as target.%s alone, without quotes or a tag: what moves is the digest of what was built.", secondName(t))
			return &out
		}
	}
	if d.Summary == "Call to unknown function" {
		out.Detail = s.unknownFunction(s.l.text(*d.Subject))
	}
	return &out
}
