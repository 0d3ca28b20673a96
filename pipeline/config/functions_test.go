package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// terraformFunctions are the functions of Terraform 1.13's language.
const terraformFunctions = `
abs abspath alltrue anytrue base64decode base64encode base64gzip base64sha256 base64sha512 basename bcrypt can ceil chomp
chunklist cidrhost cidrnetmask cidrsubnet cidrsubnets coalesce coalescelist compact concat contains csvdecode dirname
distinct element endswith ephemeralasnull file filebase64 filebase64sha256 filebase64sha512 fileexists filemd5 fileset
filesha1 filesha256 filesha512 flatten floor format formatdate formatlist indent index issensitive join jsondecode
jsonencode keys length list log lookup lower map matchkeys max md5 merge min nonsensitive one parseint pathexpand
plantimestamp pow range regex regexall replace reverse rsadecrypt sensitive setintersection setproduct setsubtract
setunion sha1 sha256 sha512 signum slice sort split startswith strcontains strrev substr sum templatefile templatestring
textdecodebase64 textencodebase64 timeadd timecmp timestamp title tobool tolist tomap tonumber toset tostring transpose
trim trimprefix trimspace trimsuffix try type upper urlencode uuid uuidv5 values yamldecode yamlencode zipmap`

// bakeFunctions are the functions of docker buildx bake's standard library.
const bakeFunctions = `
absolute add and base64decode base64encode basename bcrypt byteslen bytesslice can ceil chomp chunklist cidrhost
cidrnetmask cidrsubnet cidrsubnets coalesce coalescelist compact concat contains convert csvdecode dirname distinct
divide element equal flatten floor format formatdate formatlist formattimestamp greaterthan greaterthanorequalto
hasindex homedir indent index indexof int join jsondecode jsonencode keys length lessthan lessthanorequalto log lookup
lower max md5 merge min modulo multiply negate not notequal or parseint pow range regex regex_replace regexall replace
reverse reverselist rsadecrypt sanitize semvercmp sethaselement setintersection setproduct setsubtract
setsymmetricdifference setunion sha1 sha256 sha512 signum slice sort split strlen substr subtract timeadd timestamp
title trim trimprefix trimspace trimsuffix try unixtimestampparse upper urlencode uuidv4 uuidv5 values zipmap`

// TestEveryFunctionIsThere: each of both lists is a function, or a refusal that
// says what to write instead.
func TestEveryFunctionIsThere(t *testing.T) {
	have := newLoader(Options{}).functions()
	for _, name := range strings.Fields(terraformFunctions + bakeFunctions) {
		if _, ok := have[name]; !ok && refusedFunctions[name] == "" {
			t.Errorf("there is no function %s", name)
		}
	}
	for _, name := range strings.Fields(bakeFunctions) {
		if refusedFunctions[name] != "" {
			t.Errorf("%s of bake is refused", name)
		}
	}
}

// evaluate returns an expression's value as a build argument has it.
func evaluate(t *testing.T, dir, expr string) string {
	t.Helper()
	src := minimal + "target \"t\" { args = { A = " + expr + " } }\n"
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(src), 0o644); err != nil {
		t.Fatal(err)
	}
	opts := testOptions("")
	opts.Dir = dir
	loaded, diags := Load(opts)
	if loaded == nil {
		t.Errorf("%s: %s", expr, render(t, diags))
		return ""
	}
	return loaded.Project.Targets["t"].Args["A"]
}

func TestFunctions(t *testing.T) {
	dir := write(t, map[string]string{"a.txt": "text", "d/b.txt": "", "t.tmpl": "Hello ${upper(name)}%{ for n in list } ${n}%{ endfor }"})
	for expr, want := range map[string]string{
		`replace("a.b", ".", "-")`:                                      "a-b",
		`replace("a1b2", "/[0-9]/", "")`:                                "ab",
		`replace("a//b", "//", "/")`:                                    "a/b",
		`length("äb")`:                                                  "2",
		`length([1, 2, 3])`:                                             "3",
		`length({ a = 1 })`:                                             "1",
		`sha256("a")`:                                                   "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
		`base64sha256("a")`:                                             "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=",
		`filesha256("a.txt") == sha256("text")`:                         "true",
		`filebase64("a.txt")`:                                           "dGV4dA==",
		`filemd5("a.txt") == md5(file("a.txt"))`:                        "true",
		`filebase64sha256("a.txt") == base64sha256("text")`:             "true",
		`join(" ", fileset(".", "**/*.txt"))`:                           "a.txt d/b.txt",
		`basename(abspath("a.txt"))`:                                    "a.txt",
		`base64decode(base64encode("ü"))`:                               "ü",
		`sanitize("a//b c")`:                                            "a__b_c",
		`join(",", sort(tolist(toset(["b", "a", "b"]))))`:               "a,b",
		`tostring(sum([1, 2.5]))`:                                       "3.5",
		`sum(toset([1, 2]))`:                                            "3",
		`tostring(alltrue([true, false])) `:                             "false",
		`tostring(anytrue([true, false]))`:                              "true",
		`try(tonumber("x"), "no")`:                                      "no",
		`one(["x"])`:                                                    "x",
		`jsonencode({ a = [1, "b"] })`:                                  `{"a":[1,"b"]}`,
		`yamlencode({ a = 1 })`:                                         "\"a\": 1\n",
		`yamldecode("a: [x, z]").a[1]`:                                  "z",
		`file("a.txt")`:                                                 "text",
		`tostring(fileexists("b.txt"))`:                                 "false",
		`templatefile("t.tmpl", { name = "ann", list = ["x", "y"] })`:   "Hello ANN x y",
		`templatestring("<${"$"}{a}>", { a = 1 })`:                      "<1>",
		`formatdate("YYYY", git.time)`:                                  "2026",
		`basename(dirname("/a/b/c"))`:                                   "b",
		`coalesce("", null, "z")`:                                       "z",
		`coalesce(env("NONE", ""), "d")`:                                "d",
		`index(["a", "b"], "b")`:                                        "1",
		`index({ a = "x" }, "a")`:                                       "x",
		`indexof(["a", "b"], "b")`:                                      "1",
		`reverse("abc")`:                                                "cba",
		`join("", reverse(["a", "b"]))`:                                 "ba",
		`cidrhost("10.0.0.0/8", 5)`:                                     "10.0.0.5",
		`cidrnetmask("10.0.0.0/12")`:                                    "255.240.0.0",
		`cidrsubnet("10.0.0.0/8", 8, 2)`:                                "10.2.0.0/16",
		`cidrsubnets("10.0.0.0/8", 8, 8)[1]`:                            "10.1.0.0/16",
		`join(",", matchkeys(["a", "b", "c"], ["1", "2", "1"], ["1"]))`: "a,c",
		`join(",", transpose({ a = ["x", "y"], b = ["x"] }).x)`:         "a,b",
		`join(",", setsymmetricdifference(["a", "b"], ["b", "c"]))`:     "a,c",
		`timecmp("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00")`:  "0",
		`timecmp("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")`:       "-1",
		`nonsensitive(sensitive("x"))`:                                  "x",
		`issensitive(sensitive("x"))`:                                   "true",
		`issensitive("x")`:                                              "false",
		`greaterthanorequalto(2, 2)`:                                    "true",
		`lessthanorequalto(3, 2)`:                                       "false",
		`semvercmp("3.22", ">= 3.20")`:                                  "true",
		`semvercmp("2.1.0", "< 2.0.0")`:                                 "false",
		`convert("5", number) + 1`:                                      "6",
		`convert(["a"], list(string))[0]`:                               "a",
		`formattimestamp("YYYY-MM-DD", 1445385600)`:                     "2015-10-21",
		`formattimestamp("X", "2015-10-21T00:00:00Z")`:                  "1445385600",
		`unixtimestampparse(1690328596).month_name`:                     "July",
		`unixtimestampparse(-1).iso_year`:                               "1970",
		`textencodebase64("ä", "UTF-16LE")`:                             "5AA=",
		`textdecodebase64("5A==", "ISO-8859-1")`:                        "ä",
		`textdecodebase64("gA==", "windows-1252")`:                      "€",
		`base64gzip("a") == base64gzip("a")`:                            "true",
		`uuidv5("dns", "example.com")`:                                  "cfbff0d1-9375-5685-968c-48ce8b15ae17",
		`length(uuid())`:                                                "36",
		`startswith(bcrypt("x"), "$2")`:                                 "true",
		`can(bcrypt("x", 31))`:                                          "false",
		`timestamp() == plantimestamp()`:                                "true",
		`pathexpand("a")`:                                               "a",
		`homedir() != ""`:                                               "true",
		`strrev("ab")`:                                                  "ba",
		`can(index(["a"], "b"))`:                                        "false",
		`can(sum([]))`:                                                  "false",
	} {
		if got := evaluate(t, dir, expr); got != want {
			t.Errorf("%s is %q, want %q", expr, got, want)
		}
	}
	if when, err := time.Parse(time.RFC3339, evaluate(t, dir, "timestamp()")); err != nil || time.Since(when) > time.Hour {
		t.Errorf("timestamp is %v, %v", when, err)
	}
}

// A value that sensitive() marks is kept out of what is stored, as a sensitive
// variable's is.
func TestSensitiveIsKeptOut(t *testing.T) {
	_, diags := Load(Options{Dir: write(t, map[string]string{"dray.hcl": minimal + "target \"t\" { args = { A = sensitive(\"x\") } }\n"})})
	if !strings.Contains(render(t, diags), "Sensitive value in the open") {
		t.Errorf("got %s", render(t, diags))
	}
}
