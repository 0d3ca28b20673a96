package config

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
)

// maxDepth bounds how deep brackets may be nested. The parsers call themselves
// for each level, and a stack that is full ends the process.
const maxDepth = 500

// parseFile parses HCL, or JSON by the file's name. The file is never nil.
func parseFile(path string, src []byte) (*hcl.File, hcl.Diagnostics) {
	empty := &hcl.File{Bytes: src, Body: hcl.EmptyBody()}
	isJSON := strings.HasSuffix(path, ".json")
	line := 0
	if isJSON {
		line = jsonDepth(src)
	} else {
		line = configDepth(src)
	}
	if line > 0 {
		at := hcl.Pos{Line: line, Column: 1}
		return empty, hcl.Diagnostics{{
			Severity: hcl.DiagError, Summary: "Nested too deeply", Subject: &hcl.Range{Filename: path, Start: at, End: at},
			Detail: fmt.Sprintf("There are more than %d brackets around what stands here.", maxDepth),
		}}
	}
	var file *hcl.File
	var diags hcl.Diagnostics
	if isJSON {
		file, diags = hcljson.Parse(src, path)
	} else {
		file, diags = hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	}
	if file == nil {
		return empty, diags
	}
	if file.Bytes == nil {
		file.Bytes = src
	}
	return file, diags
}

// checkDepth returns an error where a text is nested deeper than any person
// writes.
func checkDepth(depth func([]byte) int, src string) error {
	if line := depth([]byte(src)); line > 0 {
		return fmt.Errorf("line %d is nested deeper than %d brackets", line, maxDepth)
	}
	return nil
}

// jsonDepth returns the first line of JSON that is too deep, or 0. What is in the
// templates that its strings hold counts too.
func jsonDepth(src []byte) int {
	line, depth, quoted := 1, 0, false
	template, row := 0, 0 // brackets and operators in a template
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '\n':
			line++
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted, template, row = !quoted, 0, 0
		case quoted && template == 0:
			if (c == '$' || c == '%') && i+1 < len(src) && src[i+1] == '{' {
				i, template = i+1, 1
			}
		case c == '[' || c == '{' || c == '(':
			if quoted {
				template++
			} else {
				depth++
			}
		case c == ']' || c == '}' || c == ')':
			if quoted {
				template--
			} else {
				depth--
			}
		case quoted && (c == '!' || c == '-' || c == '?'):
			row++
		case quoted && c == ',':
			row = 0
		}
		if depth+template+row > maxDepth {
			return line
		}
	}
	return 0
}

// configDepth, templateDepth and expressionDepth return the first line that is
// too deep, or 0.
func configDepth(src []byte) int     { return syntaxDepth(hclsyntax.LexConfig, src) }
func templateDepth(src []byte) int   { return syntaxDepth(hclsyntax.LexTemplate, src) }
func expressionDepth(src []byte) int { return syntaxDepth(hclsyntax.LexExpression, src) }

type lexer func(src []byte, filename string, start hcl.Pos) (hclsyntax.Tokens, hcl.Diagnostics)

// syntaxDepth counts signs and conditions in a row, which nest as brackets do.
func syntaxDepth(lex lexer, src []byte) int {
	tokens, _ := lex(src, "", hcl.InitialPos) // the parser records what is wrong
	depth, row := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOParen, hclsyntax.TokenOBrack, hclsyntax.TokenOBrace, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenTemplateSeqEnd:
			depth--
		case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenQuestion:
			row++
		case hclsyntax.TokenNewline, hclsyntax.TokenComma:
			row = 0
		}
		if depth+row > maxDepth {
			return t.Range.Start.Line
		}
	}
	return 0
}
