package config

import (
	"bytes"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns the file in its usual form. What it says and its comments
// stay. A file that does not parse is returned as it is, with what is wrong;
// so is a JSON file, which has tools of its own.
func Format(name string, src []byte) ([]byte, Diagnostics) {
	if strings.HasSuffix(name, ".json") {
		return src, nil
	}
	if file, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos); diags.HasErrors() {
		if file == nil {
			file = &hcl.File{Bytes: src}
		}
		return src, fromHCL(diags, map[string]*hcl.File{name: file})
	}
	return settled(src), nil
}

// settled formats until formatting changes nothing any more: what the first
// round does to spaces can make room for a second.
func settled(src []byte) []byte {
	const rounds = 4
	for range rounds {
		next := hclwrite.Format(src)
		if bytes.Equal(next, src) {
			break
		}
		src = next
	}
	return src
}
