package config

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/go-cty-funcs/crypto"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// digests are the functions that hash a text. Each has one of the same name with
// "file" in front that hashes a file.
var digests = map[string]func([]byte) string{
	"md5":          hexDigest(md5.New),
	"sha1":         hexDigest(sha1.New),
	"sha256":       hexDigest(sha256.New),
	"sha512":       hexDigest(sha512.New),
	"base64sha256": base64Digest(sha256.New),
	"base64sha512": base64Digest(sha512.New),
}

func hexDigest(make func() hash.Hash) func([]byte) string {
	return func(b []byte) string { return hex.EncodeToString(sum(make(), b)) }
}

func base64Digest(make func() hash.Hash) func([]byte) string {
	return func(b []byte) string { return base64.StdEncoding.EncodeToString(sum(make(), b)) }
}

func sum(h hash.Hash, b []byte) []byte {
	h.Write(b) // a hash takes everything
	return h.Sum(nil)
}

// digestFunc hashes a text.
func digestFunc(name string) function.Function {
	return textFunc("str", func(s string) (string, error) { return digests[name]([]byte(s)), nil })
}

// fileDigestFunc hashes a file.
func (l *loader) fileDigestFunc(name string) function.Function {
	return textFunc("path", func(path string) (string, error) {
		src, err := l.readFile(path)
		if err != nil {
			return "", err
		}
		return digests[name](src), nil
	})
}

// maxBcryptCost bounds bcrypt, whose time doubles with each step: 16 takes seconds,
// 31 days.
const maxBcryptCost = 16

// boundedBcryptFunc is bcrypt("TEXT") and bcrypt("TEXT", COST).
var boundedBcryptFunc = function.New(&function.Spec{
	Params:   []function.Parameter{{Name: "str", Type: cty.String}},
	VarParam: &function.Parameter{Name: "cost", Type: cty.Number},
	Type:     function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if len(args) > 1 && args[1].AsBigFloat().Cmp(big.NewFloat(maxBcryptCost)) > 0 {
			return cty.NilVal, function.NewArgErrorf(1, "a cost of more than %d", maxBcryptCost)
		}
		return crypto.BcryptFunc.Call(args)
	},
})

func decodeBase64(s string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", errors.New("this is not base64")
	}
	if !utf8.Valid(b) {
		return "", errors.New("the decoded bytes are not UTF-8 text")
	}
	return string(b), nil
}

// gzipBase64 compresses a text. The result is the same each time: no time and no
// name stand in its header.
func gzipBase64(s string) (string, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// textEncodeFunc is textencodebase64("TEXT", "ENCODING").
var textEncodeFunc = encodingFunc(func(s string, e encoding.Encoding) (string, error) {
	out, err := e.NewEncoder().String(s)
	if err != nil {
		return "", fmt.Errorf("the text has characters that the encoding lacks")
	}
	return base64.StdEncoding.EncodeToString([]byte(out)), nil
})

// textDecodeFunc is textdecodebase64("BASE64", "ENCODING").
var textDecodeFunc = encodingFunc(func(s string, e encoding.Encoding) (string, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", errors.New("this is not base64")
	}
	out, err := e.NewDecoder().Bytes(b)
	if err != nil || !utf8.Valid(out) {
		return "", errors.New("the bytes are not in this encoding")
	}
	return string(out), nil
})

func encodingFunc(f func(s string, e encoding.Encoding) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "string", Type: cty.String}, {Name: "encoding", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			e := encodingOf(args[1].AsString())
			if e == nil {
				return cty.NilVal, function.NewArgErrorf(1, "encodings are UTF-8, UTF-16, UTF-16LE, UTF-16BE and those of one byte a character, such as ISO-8859-1 and windows-1252")
			}
			out, err := f(args[0].AsString(), e)
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return cty.StringVal(out), nil
		},
	})
}

// encodingOf returns the encoding with a name of IANA's, in either case, or nil.
func encodingOf(name string) encoding.Encoding {
	name = strings.ToUpper(name)
	switch name {
	case "UTF-8":
		return unicode.UTF8
	case "UTF-16":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case "UTF-16LE":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case "UTF-16BE":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	}
	for _, e := range charmap.All {
		if m, ok := e.(*charmap.Charmap); ok && strings.ToUpper(strings.ReplaceAll(m.String(), " ", "-")) == name {
			return e
		}
	}
	return nil
}
