package config

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Functions that cty's standard library does not have.

var (
	base64EncodeFunc = textFunc("str", func(s string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil })
	basenameFunc     = textFunc("str", func(s string) (string, error) { return path.Base(s), nil })
	dirnameFunc      = textFunc("str", func(s string) (string, error) { return path.Dir(s), nil })
	urlEncodeFunc    = textFunc("str", func(s string) (string, error) { return url.QueryEscape(s), nil })
	sanitizeFunc     = textFunc("str", func(s string) (string, error) { return notTag.ReplaceAllString(s, "_"), nil })
	base64DecodeFunc = textFunc("str", decodeBase64)
	startsWithFunc   = testFunc("prefix", strings.HasPrefix)
	endsWithFunc     = testFunc("suffix", strings.HasSuffix)
	strContainsFunc  = testFunc("substr", strings.Contains)
	allTrueFunc      = quantifierFunc(false)
	anyTrueFunc      = quantifierFunc(true)
)

// notTag is what bake's sanitize replaces: what an image's tag can't hold.
var notTag = regexp.MustCompile(`[^a-zA-Z0-9_-]+`)

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

func digestFunc(algorithm string) function.Function {
	return textFunc("str", func(s string) (string, error) {
		var sum []byte
		switch b := []byte(s); algorithm {
		case "md5":
			h := md5.Sum(b)
			sum = h[:]
		case "sha1":
			h := sha1.Sum(b)
			sum = h[:]
		case "sha256":
			h := sha256.Sum256(b)
			sum = h[:]
		default:
			h := sha512.Sum512(b)
			sum = h[:]
		}
		return hex.EncodeToString(sum), nil
	})
}

// textFunc makes a function of one string.
func textFunc(parameter string, f func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: parameter, Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			out, err := f(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return cty.StringVal(out), nil
		},
	})
}

func testFunc(name string, f func(s, part string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}, {Name: name, Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(f(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

// quantifierFunc returns until as soon as an element is it, and otherwise the
// opposite.
func quantifierFunc(until bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			for _, v := range args[0].AsValueSlice() {
				if !v.IsKnown() {
					return cty.UnknownVal(cty.Bool), nil
				}
				if !v.IsNull() && v.True() == until {
					return cty.BoolVal(until), nil
				}
			}
			return cty.BoolVal(!until), nil
		},
	})
}

// lengthFunc counts elements, or the characters of a string as Terraform does.
var lengthFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowDynamicType: true}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if args[0].Type() == cty.String {
			return stdlib.Strlen(args[0])
		}
		return stdlib.Length(args[0])
	},
})

// replaceFunc replaces a text, or a regular expression between slashes as
// Terraform does.
var replaceFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "str", Type: cty.String}, {Name: "substr", Type: cty.String}, {Name: "replace", Type: cty.String},
	},
	Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if s := args[1].AsString(); len(s) > 1 && strings.HasPrefix(s, "/") && strings.HasSuffix(s, "/") {
			return stdlib.RegexReplace(args[0], cty.StringVal(s[1:len(s)-1]), args[2])
		}
		return stdlib.Replace(args[0], args[1], args[2])
	},
})

// sumFunc adds the elements of a list.
var sumFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Number)}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		total := cty.Zero
		for _, v := range args[0].AsValueSlice() {
			if !v.IsKnown() {
				return cty.UnknownVal(cty.Number), nil
			}
			if v.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "an element is null")
			}
			total = total.Add(v)
		}
		return total, nil
	},
})

// boundedPowFunc is pow without results that take forever to compute or
// print.
var boundedPowFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "num", Type: cty.Number}, {Name: "power", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if args[1].AsBigFloat().Cmp(big.NewFloat(1024)) > 0 {
			return cty.NilVal, function.NewArgErrorf(1, "a power of more than 1024")
		}
		return stdlib.Pow(args[0], args[1])
	},
})

// oneFunc returns the only element of a list or set, or null when it is empty.
var oneFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type: func(args []cty.Value) (cty.Type, error) {
		switch t := args[0].Type(); {
		case t.IsListType() || t.IsSetType():
			return t.ElementType(), nil
		case t.IsTupleType() && t.Length() == 1:
			return t.TupleElementType(0), nil
		case t.IsTupleType() && t.Length() == 0:
			return cty.DynamicPseudoType, nil
		}
		return cty.NilType, function.NewArgErrorf(0, "one takes a list with at most one element")
	},
	Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
		switch elements := args[0].AsValueSlice(); len(elements) {
		case 0:
			return cty.NullVal(t), nil
		case 1:
			return elements[0], nil
		default:
			return cty.NilVal, function.NewArgErrorf(0, "one takes a list with at most one element, this has %d", len(elements))
		}
	},
})

// convertFunc makes Terraform's to… functions.
func convertFunc(name string) function.Function {
	wants := map[string]cty.Type{
		"tobool": cty.Bool, "tonumber": cty.Number, "tostring": cty.String,
		"tolist": cty.List(cty.DynamicPseudoType), "toset": cty.Set(cty.DynamicPseudoType), "tomap": cty.Map(cty.DynamicPseudoType),
	}
	want := wants[name]
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true, AllowDynamicType: true}},
		Type: func(args []cty.Value) (cty.Type, error) {
			out, err := convert.Convert(args[0], want)
			if err != nil {
				return cty.NilType, function.NewArgError(0, fmt.Errorf("%s: %w", name, err))
			}
			return out.Type(), nil
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			out, err := convert.Convert(args[0], want)
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return out, nil
		},
	})
}

// jsonText returns a value as JSON, for messages.
func jsonText(v cty.Value) string {
	b, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return "of type " + v.Type().FriendlyName() // a reference has no text of its own
	}
	return string(b)
}
