package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
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

// fileFunc is file("PATH"): the text of a file beside dray.hcl.
func (l *loader) fileFunc() function.Function {
	return textFunc("path", l.readText)
}

func (l *loader) readText(name string) (string, error) {
	src, err := readBounded(l.resolve(name))
	if err != nil {
		return "", errors.New(l.resolve(name) + ": " + reason(err))
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

// templateFileFunc is templatefile("PATH", { NAME = value }). A template sees
// only what it is given, and can't call templatefile again.
func (l *loader) templateFileFunc() function.Function {
	render := func(args []cty.Value) (cty.Value, error) {
		path := l.resolve(args[0].AsString())
		src, err := l.readText(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		if t := args[1].Type(); !t.IsObjectType() && !t.IsMapType() {
			return cty.NilVal, function.NewArgErrorf(1, "the values of a template are an object: { NAME = value }")
		}
		expr, diags := hclsyntax.ParseTemplate([]byte(src), path, hcl.InitialPos)
		if diags.HasErrors() {
			return cty.NilVal, function.NewArgError(0, diags)
		}
		funcs := l.functions()
		delete(funcs, "templatefile")
		v, diags := expr.Value(&hcl.EvalContext{Variables: args[1].AsValueMap(), Functions: funcs})
		if diags.HasErrors() {
			return cty.NilVal, function.NewArgError(0, diags)
		}
		return v, nil
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "values", Type: cty.DynamicPseudoType}},
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
