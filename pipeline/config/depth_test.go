package config

import (
	"strings"
	"testing"
)

// The parsers call themselves for each bracket, and a full stack ends the
// process: what is too deep never gets to them.
func TestDeepNestingIsAFault(t *testing.T) {
	const n = 50_000
	many := func(s string) string { return strings.Repeat(s, n) }
	for name, src := range map[string]string{
		"brackets.json":   many("["),
		"objects.json":    many(`{"a":`),
		"template.json":   `{"project": "${` + many("(") + `"}`,
		"signs.json":      `{"project": "${` + many("!") + `1}"}`,
		"brackets.hcl":    "a = " + many("["),
		"blocks.hcl":      many("a {\n"),
		"signs.hcl":       "a = " + many("-") + "1",
		"conditions.hcl":  "a = " + many("true ? 1 : "),
		"template.hcl":    `a = "` + many("${\""),
		"parentheses.hcl": "a = f(" + many("("),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoader(testOptions(""))
			l.parseBytes(name, []byte(src))
			_, diags := l.finish([]string{name}, ".")
			if len(diags) != 1 || diags[0].Summary != "Nested too deeply" {
				t.Errorf("got %.300v", diags)
			}
			if strings.HasSuffix(name, ".hcl") {
				if _, diags := Format(name, []byte(src)); !diags.HasErrors() {
					t.Error("it is formatted")
				}
			}
		})
	}
	dir := write(t, map[string]string{"dray.hcl": minimal + "locals {\n  a = can(jsondecode(file(\"deep\")))\n  b = can(templatefile(\"deep.tftpl\", {}))\n}\n" +
		"target \"t\" { args = { A = local.a, B = local.b } }\n", "deep": many("["), "deep.tftpl": "${" + many("(")})
	if args := mustLoad(t, Options{Dir: dir}).Project.Targets["t"].Args; args["A"] != "false" || args["B"] != "false" {
		t.Errorf("got %v", args)
	}
}

func TestLongTextIsNotDeep(t *testing.T) {
	text := strings.Repeat("-----!!((([[", 1000)
	l := newLoader(testOptions(""))
	l.parseBytes("x.json", []byte(`{"project": "a", "locals": {"a": "`+text+`"}, "target": {"t": {}}}`))
	if _, diags := l.finish([]string{"x.json"}, "."); diags.HasErrors() {
		t.Errorf("got %.300v", diags)
	}
}

func TestJSONBlockWithoutAName(t *testing.T) {
	l := newLoader(testOptions(""))
	l.parseBytes("x.json", []byte(`{"project": "a", "target": {"t": {}}, "variable": null}`))
	_, diags := l.finish([]string{"x.json"}, ".")
	if want := `A variable block in the file has a name: "variable": { "NAME": { … } }.`; len(diags) != 1 || diags[0].Detail != want {
		t.Errorf("got %v, want %s", diags, want)
	}
}
