package config

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"net/url"
	"path"
	"regexp"
	"strings"

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
	base64GzipFunc   = textFunc("str", gzipBase64)
	startsWithFunc   = testFunc("prefix", strings.HasPrefix)
	endsWithFunc     = testFunc("suffix", strings.HasSuffix)
	strContainsFunc  = testFunc("substr", strings.Contains)
	allTrueFunc      = quantifierFunc(false)
	anyTrueFunc      = quantifierFunc(true)
)

// notTag is what bake's sanitize replaces, each character by itself: what the
// name of a target can't hold.
var notTag = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

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

// replaceFunc replaces a text, or a regular expression between slashes as
// Terraform does. "//" is a text, as in bake: there is nothing between them.
var replaceFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "str", Type: cty.String}, {Name: "substr", Type: cty.String}, {Name: "replace", Type: cty.String},
	},
	Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if s := args[1].AsString(); len(s) > 2 && strings.HasPrefix(s, "/") && strings.HasSuffix(s, "/") {
			return stdlib.RegexReplace(args[0], cty.StringVal(s[1:len(s)-1]), args[2])
		}
		return stdlib.Replace(args[0], args[1], args[2])
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
