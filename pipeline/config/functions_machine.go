package config

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"dray/pipeline/phrase"
)

// Functions that read the deployer's machine.

// envFunc is env("NAME") and env("NAME", default).
func (l *loader) envFunc() function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "name", Type: cty.String}},
		VarParam: &function.Parameter{Name: "default", Type: cty.String, AllowNull: true},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			if value, ok := l.environ(name); ok {
				return cty.StringVal(value), nil
			}
			switch len(args) {
			case 1:
				return cty.NilVal, function.NewArgErrorf(0, "%s is not set; env(%q, \"default\") does without", name, name)
			case 2:
				return args[1], nil
			}
			return cty.NilVal, function.NewArgErrorf(2, "env takes a name and at most one default")
		},
	})
}

// environ returns a variable of the process.
func (l *loader) environ(name string) (value string, ok bool) {
	for i := len(l.opts.Environ) - 1; i >= 0; i-- {
		if key, value, _ := strings.Cut(l.opts.Environ[i], "="); key == name {
			return value, true
		}
	}
	return "", false
}

// fileFunc is file("PATH"): the text of a file, from the folder of dray.hcl.
func (l *loader) fileFunc() function.Function {
	return textFunc("path", l.readText)
}

// fileBase64Func is filebase64("PATH"): the bytes of a file.
func (l *loader) fileBase64Func() function.Function {
	return textFunc("path", func(name string) (string, error) {
		src, err := l.readFile(name)
		return base64.StdEncoding.EncodeToString(src), err
	})
}

// absPathFunc is abspath("PATH"), from the file's folder.
func (l *loader) absPathFunc() function.Function {
	return textFunc("path", func(name string) (string, error) {
		abs, err := filepath.Abs(l.resolve(name))
		return filepath.ToSlash(abs), err
	})
}

func (l *loader) readFile(name string) ([]byte, error) {
	src, err := readBounded(l.resolve(name))
	if err != nil {
		return nil, errors.New(l.resolve(name) + ": " + phrase.Cause(err))
	}
	return src, nil
}

func (l *loader) readText(name string) (string, error) {
	src, err := l.readFile(name)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(src) {
		return "", errors.New(l.resolve(name) + " is not UTF-8 text")
	}
	return string(src), nil
}

// resolve returns the path of a file that the project names.
func (l *loader) resolve(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.dir, name)
}

func (l *loader) fileExistsFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			info, err := os.Stat(l.resolve(args[0].AsString()))
			return cty.BoolVal(err == nil && info.Mode().IsRegular()), nil
		},
	})
}

// templateFileFunc is templatefile("PATH", { NAME = value }).
func (l *loader) templateFileFunc() function.Function {
	return l.templateFunc("path", func(name string) (src, path string, err error) {
		src, err = l.readText(name)
		return src, l.resolve(name), err
	})
}

// templateStringFunc is templatestring("TEMPLATE", { NAME = value }).
func (l *loader) templateStringFunc() function.Function {
	return l.templateFunc("template", func(template string) (src, path string, err error) {
		return template, "template", nil
	})
}

// templateFunc makes a function that renders a template. A template sees only
// what it is given, and can't render others.
func (l *loader) templateFunc(parameter string, read func(argument string) (src, path string, err error)) function.Function {
	render := func(args []cty.Value) (cty.Value, error) {
		src, path, err := read(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		if t := args[1].Type(); !t.IsObjectType() && !t.IsMapType() {
			return cty.NilVal, function.NewArgErrorf(1, "the values of a template are an object: { NAME = value }")
		}
		if err := checkDepth(templateDepth, src); err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		expr, diags := hclsyntax.ParseTemplate([]byte(src), path, hcl.InitialPos)
		if diags.HasErrors() {
			return cty.NilVal, function.NewArgError(0, diags)
		}
		funcs := l.functions()
		delete(funcs, "templatefile")
		delete(funcs, "templatestring")
		v, diags := expr.Value(&hcl.EvalContext{Variables: args[1].AsValueMap(), Functions: funcs})
		if diags.HasErrors() {
			return cty.NilVal, function.NewArgError(0, diags)
		}
		return v, nil
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: parameter, Type: cty.String}, {Name: "values", Type: cty.DynamicPseudoType}},
		Type: func(args []cty.Value) (cty.Type, error) {
			if !args[0].IsKnown() || !args[1].IsWhollyKnown() {
				return cty.DynamicPseudoType, nil
			}
			v, err := render(args)
			if err != nil {
				return cty.NilType, err
			}
			return v.Type(), nil
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return render(args) },
	})
}

// jsonDecodeFunc is jsondecode without nesting that no stack holds.
var jsonDecodeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "str", Type: cty.String}},
	Type: func(args []cty.Value) (cty.Type, error) {
		if args[0].IsKnown() {
			if err := checkDepth(jsonDepth, args[0].AsString()); err != nil {
				return cty.NilType, function.NewArgError(0, err)
			}
		}
		return stdlib.JSONDecodeFunc.ReturnTypeForValues(args)
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return stdlib.JSONDecode(args[0]) },
})
