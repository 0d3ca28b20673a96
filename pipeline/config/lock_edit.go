package config

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// set gives an argument of a block a value. What else is in the file, and its
// comments, stay as they are; a new block comes where the order of type and
// name puts it.
func (k *Lock) set(typ, label, name, value string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	src := k.src
	if !k.hasBlock(typ, label) {
		src = k.inserted(typ, label)
	}
	file, diags := hclwrite.ParseConfig(src, k.path, hcl.InitialPos)
	if diags.HasErrors() {
		return fmt.Errorf("changing %s: %w", k.path, diags)
	}
	block := file.Body().FirstMatchingBlock(typ, []string{label})
	if block == nil {
		return fmt.Errorf("changing %s: %s %q can't be written", k.path, typ, label)
	}
	block.Body().SetAttributeValue(name, cty.StringVal(value))
	if ds := k.parse(formatStable(file.Bytes())); ds.HasErrors() {
		return fmt.Errorf("changing %s: %w", k.path, ds)
	}
	return nil
}

func (k *Lock) hasBlock(typ, label string) bool {
	for _, b := range k.syntax().Blocks {
		if b.Type == typ && len(b.Labels) == 1 && b.Labels[0] == label {
			return true
		}
	}
	return false
}

func (k *Lock) syntax() *hclsyntax.Body {
	body, ok := k.file.Body.(*hclsyntax.Body)
	if !ok {
		return &hclsyntax.Body{} // parse gave an empty one
	}
	return body
}

// inserted returns the source with an empty block before the first one that
// sorts behind it.
func (k *Lock) inserted(typ, label string) []byte {
	block := append(hclwrite.NewBlock(typ, []string{label}).BuildTokens(nil).Bytes(), '\n')
	at := len(k.src)
	for _, b := range k.syntax().Blocks {
		if b.Type+"\x00"+strings.Join(b.Labels, "\x00") > typ+"\x00"+label {
			at = aboveComments(k.src, b.TypeRange.Start.Byte)
			break
		}
	}
	before, after := k.src[:at], k.src[at:]
	out := bytes.TrimRight(before, "\n")
	out = append(bytes.Clone(out), '\n', '\n')
	out = append(out, bytes.TrimRight(block, "\n")...)
	out = append(out, '\n')
	if len(after) > 0 {
		out = append(append(out, '\n'), after...)
	}
	return bytes.TrimLeft(out, "\n")
}

// aboveComments returns the start of the comment lines directly above the line
// at offset, or of that line.
func aboveComments(src []byte, offset int) int {
	start := bytes.LastIndexByte(src[:offset], '\n') + 1
	for start > 0 {
		previous := bytes.LastIndexByte(src[:start-1], '\n') + 1
		line := bytes.TrimSpace(src[previous : start-1])
		if !bytes.HasPrefix(line, []byte("#")) && !bytes.HasPrefix(line, []byte("//")) {
			break
		}
		start = previous
	}
	return start
}
