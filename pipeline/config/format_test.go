package config

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func TestFormat(t *testing.T) {
	const in = "# c\nservice   \"web\"{\nimage=target.web # here\n  count   =2\n}\n"
	const want = "# c\nservice \"web\" {\n  image = target.web # here\n  count = 2\n}\n"
	got, diags := Format("dray.hcl", []byte(in))
	if len(diags) > 0 || string(got) != want {
		t.Errorf("got %v:\n%s", diags, got)
	}
}

func TestFormatLeavesFaultyFilesAlone(t *testing.T) {
	const in = "a   = {\n"
	got, diags := Format("dray.hcl", []byte(in))
	if string(got) != in || !diags.HasErrors() || diags[0].Range == nil {
		t.Errorf("got %q with %v", got, diags)
	}
	const json = `{"a"  : 1}`
	if got, diags := Format("dray.hcl.json", []byte(json)); string(got) != json || len(diags) > 0 {
		t.Errorf("got %q with %v", got, diags)
	}
}

// FuzzFormat holds that what is formatted once stays, and means the same.
func FuzzFormat(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.hcl")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		once, diags := Format("f.hcl", src)
		if diags.HasErrors() {
			return
		}
		if !bytes.Equal(significant(t, src), significant(t, once)) {
			t.Errorf("%q became %q", src, once)
		}
		twice, diags := Format("f.hcl", once)
		if diags.HasErrors() || !bytes.Equal(once, twice) {
			t.Errorf("%q became %q with %v", once, twice, diags)
		}
	})
}

// significant returns the source without spaces between its tokens.
func significant(t *testing.T, src []byte) []byte {
	t.Helper()
	tokens, diags := hclsyntax.LexConfig(src, "f.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var out []byte
	for _, token := range tokens {
		if token.Type == hclsyntax.TokenNewline {
			continue
		}
		out = append(append(out, bytes.TrimSpace(token.Bytes)...), 0)
	}
	return out
}

// What stands in a heredoc is text, and what stands in its ${ … } somebody's
// choice.
func TestFormatKeepsHeredocs(t *testing.T) {
	const src = `a = {
  x      = <<-TEXT
    list: ${join(",", [
      for n in ["a"] :
      n
    ])}
      deeper
  TEXT
  longer = 1
}
`
	got, diags := Format("dray.hcl", []byte(src))
	want := src
	if diags.HasErrors() || string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s%v", got, want, diags)
	}
}
