package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEverythingIsDocumented compares docs/FILE.md with the schema: each
// argument and block is mentioned in the section of what it belongs to, and
// each argument in a section's tables exists.
func TestEverythingIsDocumented(t *testing.T) {
	src, err := os.ReadFile("../../docs/FILE.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := splitSections(string(src))
	kinds := map[string]kind{
		"variable": kindVariable, "function": kindFunction, "registry": kindRegistry, "target": kindTarget,
		"group": kindGroup, "service": kindService, "port": kindPort, "check": kindCheck, "resources": kindResources, "security": kindSecurity,
		"update": kindUpdate, "restart": kindRestart, "stop": kindStop, "volume": kindVolume, "secret": kindSecret,
		"task": kindTask, "host": kindHost, "environment": kindEnvironment, "promotion": kindPromotion, "verify": kindVerify,
	}
	for name, k := range kinds {
		text, ok := sections[name]
		if !ok {
			t.Errorf("docs/FILE.md has no section %s", name)
			continue
		}
		for _, arg := range slices.Concat(k.args, k.notYet) {
			if !strings.Contains(text, "`"+arg+"`") {
				t.Errorf("docs/FILE.md, %s: nothing about `%s`", name, arg)
			}
		}
		known := k.args
		if name == "variable" {
			known = slices.Concat(known, kindValidation.args)
		}
		for _, row := range tableArgument.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(known, row[1]) && !slices.Contains(strategies, row[1]) {
				t.Errorf("docs/FILE.md, %s: there is no `%s`", name, row[1])
			}
		}
	}
	for _, name := range slices.Concat(kindRoot.args, kindRoot.blocks, kindRoot.named) {
		if _, ok := sections[name]; !ok {
			t.Errorf("docs/FILE.md has no section %s", name)
		}
	}
	for _, name := range slices.Concat(kindService.blocks, kindService.named, kindEnvironment.blocks) {
		if _, ok := sections[name]; !ok {
			t.Errorf("docs/FILE.md has no section %s", name)
		}
	}
	for _, k := range []kind{kindBase, kindLockHost} {
		for _, arg := range k.args {
			if !strings.Contains(sections["dray.lock.hcl"], "`"+arg+"`") {
				t.Errorf("docs/FILE.md, dray.lock.hcl: nothing about `%s`", arg)
			}
		}
	}
}

// tableArgument is the first cell of a row.
var tableArgument = regexp.MustCompile("(?m)^\\| `([a-z_-]+)` \\|")

// splitSections gives the text under each heading, by its title.
func splitSections(src string) map[string]string {
	out := map[string]string{}
	title := ""
	for line := range strings.Lines(src) {
		if heading := strings.TrimLeft(line, "#"); heading != line && strings.HasPrefix(heading, " ") {
			title = strings.TrimSpace(heading)
			continue
		}
		out[title] += line
	}
	return out
}

// TestDocumentedExamples loads the file that docs/FILE.md begins with.
func TestDocumentedExamples(t *testing.T) {
	src, err := os.ReadFile("../../docs/FILE.md")
	if err != nil {
		t.Fatal(err)
	}
	text := splitSections(string(src))["An example"]
	_, text, _ = strings.Cut(text, "```hcl\n")
	text, _, ok := strings.Cut(text, "```")
	if !ok {
		t.Fatal("docs/FILE.md has no example")
	}
	formatted, ds := Format("docs/FILE.md", []byte(text))
	if ds.HasErrors() || string(formatted) != text {
		t.Errorf("the example is not in the usual form:\n%s%v", formatted, ds)
	}
	path := t.TempDir() + "/dray.hcl"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	loaded, ds := Load(Options{File: path})
	if loaded == nil || len(ds) > 0 {
		t.Errorf("the example has faults: %v", ds)
	}
}
