package config

import (
	"bytes"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns the file in its usual form. Its meaning and its comments
// stay. A file that does not parse is returned as it is, with what is wrong;
// so is a JSON file, which has tools of its own.
func Format(name string, src []byte) ([]byte, Diagnostics) {
	if strings.HasSuffix(name, ".json") {
		return src, nil
	}
	if file, diags := parseFile(name, src); diags.HasErrors() {
		return src, fromHCL(diags, map[string]*hcl.File{name: file})
	}
	return formatStable(src), nil
}

// formatStable formats until formatting changes nothing any more: what the first
// round does to spaces can make room for a second.
func formatStable(src []byte) []byte {
	const rounds = 4
	for range rounds {
		next := keepHeredocs(src, hclwrite.Format(withoutHeredocs(src)))
		if bytes.Equal(next, src) {
			break
		}
		src = next
	}
	return src
}

// withoutHeredocs returns src with plain lines in its heredocs: brackets in their
// ${ … } would count for the lines behind them.
func withoutHeredocs(src []byte) []byte {
	var out []byte
	last := 0
	for _, r := range heredocs(src) {
		body := src[r.Start.Byte:r.End.Byte]
		first := bytes.IndexByte(body, '\n') + 1
		final := bytes.LastIndexByte(body, '\n') + 1
		out = append(out, src[last:r.Start.Byte+first]...)
		for range bytes.Count(body[min(first, final):final], []byte("\n")) {
			out = append(out, "x\n"...)
		}
		last = r.Start.Byte + max(first, final)
	}
	return append(out, src[last:]...)
}

// keepHeredocs puts the heredocs of src, as they are, in the place of those in
// formatted. Their indentation is part of the text, and that of the ${ … } in
// them is somebody's choice.
func keepHeredocs(src, formatted []byte) []byte {
	from, to := heredocs(src), heredocs(formatted)
	if len(from) != len(to) {
		return formatted // formatting changes spaces alone, so this does not happen
	}
	var out []byte
	last := 0
	for i, r := range to {
		out = append(out, formatted[last:r.Start.Byte]...)
		out = append(out, src[from[i].Start.Byte:from[i].End.Byte]...)
		last = r.End.Byte
	}
	return append(out, formatted[last:]...)
}

// heredocs returns where the outermost heredocs are.
func heredocs(src []byte) []hcl.Range {
	tokens, _ := hclsyntax.LexConfig(src, "", hcl.InitialPos)
	var out []hcl.Range
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOHeredoc:
			if depth == 0 {
				out = append(out, hcl.Range{Start: t.Range.Start})
			}
			depth++
		case hclsyntax.TokenCHeredoc:
			if depth--; depth == 0 {
				out[len(out)-1].End = t.Range.End
			}
		}
	}
	if depth > 0 {
		out = out[:len(out)-1] // it has no end, which the parser records
	}
	return out
}
