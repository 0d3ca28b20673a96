package secret

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// project writes files of secrets and returns a source that reads them.
func project(t *testing.T, files map[string]string, environ ...string) *Source {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, Folder), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, Folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &Source{Project: "shop", Dir: dir, Environ: append(environ, "PATH="+os.Getenv("PATH"))}
}

func revealed(values map[string]Value) map[string]string {
	out := map[string]string{}
	for name, v := range values {
		out[name] = v.Reveal()
	}
	return out
}

func TestFindTakesTheMostSpecificFirst(t *testing.T) {
	s := project(t, map[string]string{
		"secrets.prod": "A=own\n",
		"secrets":      "A=common\nB=common\nC=common\n",
	}, "A=shell", "B=shell", "D=")
	s.Command = `echo "D=for $DRAY_PROJECT $DRAY_ENVIRONMENT $DRAY_SECRETS"; echo "C=printed"`
	got, err := s.Find(t.Context(), "prod", []string{"A", "B", "C", "D"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": "own", "B": "shell", "C": "common", "D": "for shop prod D"}
	if !reflect.DeepEqual(revealed(got), want) {
		t.Errorf("got %v, want %v", revealed(got), want)
	}
}

// NAME= is what somebody wrote; an empty variable is what CI makes of a secret
// that it does not have.
func TestFindTakesAnEmptyValueOfAFile(t *testing.T) {
	s := project(t, map[string]string{"secrets.prod": "A=\n", "secrets": "B=''\nC=common\n"}, "A=shell", "C=")
	s.Command = `echo D=`
	got, err := s.Find(t.Context(), "prod", []string{"A", "B", "C", "D"})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"A": "", "B": "", "C": "common", "D": ""}; !reflect.DeepEqual(revealed(got), want) {
		t.Errorf("got %v, want %v", revealed(got), want)
	}
}

func TestFindDoesNotReadAnotherEnvironment(t *testing.T) {
	s := project(t, map[string]string{"secrets.prod": "A=own\n"})
	_, err := s.Find(t.Context(), "test", []string{"A"})
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Fatalf("got %v, want a MissingError", err)
	}
}

func TestFindNamesAllThatIsMissing(t *testing.T) {
	s := project(t, map[string]string{"secrets": "HERE=value-of-here\n"})
	_, err := s.Find(t.Context(), "prod", []string{"TOKEN", "HERE", "KEY", "TOKEN"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"KEY, TOKEN have no value", "secrets.prod", CommandVariable} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %s", want, err)
		}
	}
	if strings.Contains(err.Error(), "value-of-here") {
		t.Errorf("a value is in: %s", err)
	}
}

func TestFindAsksACommandForJSON(t *testing.T) {
	s := project(t, nil, CommandVariable+`=printf '{"A": "x", "B": "y"}'`)
	got, err := s.Find(t.Context(), "dev", []string{"A", "B"})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"A": "x", "B": "y"}; !reflect.DeepEqual(revealed(got), want) {
		t.Errorf("got %v, want %v", revealed(got), want)
	}
}

func TestFindSaysWhyACommandFailed(t *testing.T) {
	s := project(t, nil)
	s.Command = "echo the vault is sealed >&2; exit 3"
	_, err := s.Find(t.Context(), "dev", []string{"A"})
	if err == nil || !strings.Contains(err.Error(), "exit status 3: the vault is sealed") {
		t.Errorf("got %v", err)
	}
}

func TestFaultyFileNamesTheLineOnly(t *testing.T) {
	s := project(t, map[string]string{"secrets": "A=1\nB=\"hush hush\n"})
	_, err := s.Find(t.Context(), "dev", []string{"A"})
	if err == nil || !strings.Contains(err.Error(), "secrets:2: B: the closing quote is missing") || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
}

func TestParseLines(t *testing.T) {
	const src = "\ufeff# comment\r\n\r\n" + `PLAIN=a b # not this
export EXPORTED = spaced
HASH=a#b
SINGLE='a\n"b" # c' # comment
DOUBLE="a\n\"b\" \$c \d" # comment
LINES="one
two"
EMPTY=
EQUALS=a=b=c
LAST=end`
	want := map[string]string{
		"PLAIN": "a b", "EXPORTED": "spaced", "HASH": "a#b", "SINGLE": `a\n"b" # c`, "DOUBLE": "a\n\"b\" $c \\d",
		"LINES": "one\ntwo", "EMPTY": "", "EQUALS": "a=b=c", "LAST": "end",
	}
	got, err := parseLines(src)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseLinesRefuses(t *testing.T) {
	for src, want := range map[string]string{
		"A=1\nno equals sign": "2: not NAME=VALUE; a value of several lines stands in quotes",
		"A=\"x\ny\"\n=1":      "3: not NAME=VALUE; a value of several lines stands in quotes",
		"1A=x":                "1: not NAME=VALUE; a value of several lines stands in quotes",
		"A=1\nKEY=-----BEGIN PRIVATE KEY-----\nMIIE==\n-----END PRIVATE KEY-----\n": "2: KEY: a key or certificate of several lines stands in quotes: " +
			`write KEY="-----BEGIN …, and a " behind its last line`,
		`A='x' y`:              "1: A: text behind the closing quote",
		"\n\nA='never\nending": "3: A: the closing quote is missing",
	} {
		_, err := parseLines(src)
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", src, err, want)
		}
	}
}

func FuzzParseLines(f *testing.F) {
	f.Add("A=1\nexport B='x'\nC=\"a\\nb\" # c\n")
	f.Add("A=\"\n\n")
	f.Fuzz(func(t *testing.T, src string) {
		values, err := parseLines(src)
		if err == nil {
			return
		}
		for _, v := range values {
			if len(v) > 3 && strings.Contains(err.Error(), v) {
				t.Errorf("a value is in the error %q", err)
			}
		}
	})
}
