package config

import (
	"errors"

	"github.com/hashicorp/go-cty-funcs/collection"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// Functions of lists and maps, with Terraform's meaning where bake has another.

// coalesceFunc passes over empty strings too, as Terraform's does.
var coalesceFunc = collection.CoalesceFunc

// lengthFunc counts elements, arguments of an object, or the characters of a
// string, as Terraform's does.
var lengthFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowDynamicType: true}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		switch t := args[0].Type(); {
		case t == cty.String:
			return stdlib.Strlen(args[0])
		case t.IsObjectType():
			return cty.NumberIntVal(int64(len(t.AttributeTypes()))), nil
		}
		return stdlib.Length(args[0])
	},
})

// indexFunc is Terraform's for a list, the position of a value, and bake's for a
// map or an object, the value of a key; Terraform has none for those.
var indexFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "collection", Type: cty.DynamicPseudoType}, {Name: "value", Type: cty.DynamicPseudoType}},
	Type: func(args []cty.Value) (cty.Type, error) {
		t := args[0].Type()
		switch {
		case t.IsMapType():
			return t.ElementType(), nil
		case t.IsObjectType():
			if key, ok := attributeOf(args[0], args[1]); ok {
				return t.AttributeType(key), nil
			}
			return cty.NilType, function.NewArgErrorf(1, "the object does not have this key")
		}
		if !isSequence(t) {
			return cty.NilType, function.NewArgErrorf(0, "index takes a list and a value, or a map and a key")
		}
		return cty.Number, nil
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if isSequence(args[0].Type()) {
			return position(args[0], args[1])
		}
		if key, ok := attributeOf(args[0], args[1]); ok {
			return args[0].GetAttr(key), nil
		}
		return stdlib.Index(args[0], args[1])
	},
})

// attributeOf returns key where it is an attribute of an object.
func attributeOf(object, key cty.Value) (name string, ok bool) {
	if !object.Type().IsObjectType() || key.Type() != cty.String || !key.IsKnown() {
		return "", false
	}
	return key.AsString(), object.Type().HasAttribute(key.AsString())
}

// indexOfFunc is bake's name for the position of a value in a list.
var indexOfFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}, {Name: "value", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !isSequence(args[0].Type()) {
			return cty.NilVal, function.NewArgErrorf(0, "indexof takes a list")
		}
		return position(args[0], args[1])
	},
})

func isSequence(t cty.Type) bool { return t.IsListType() || t.IsTupleType() }

func position(list, value cty.Value) (cty.Value, error) {
	for it := list.ElementIterator(); it.Next(); {
		i, e := it.Element()
		equal, err := stdlib.Equal(e, value)
		switch {
		case err != nil:
			return cty.NilVal, err
		case !equal.IsKnown():
			return cty.UnknownVal(cty.Number), nil
		case equal.True():
			return i, nil
		}
	}
	return cty.NilVal, errors.New("the list does not have this value")
}

// reverseFunc is Terraform's for a list and bake's for a string.
var reverseFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType}},
	Type: func(args []cty.Value) (cty.Type, error) {
		if args[0].Type() == cty.String {
			return cty.String, nil
		}
		return stdlib.ReverseListFunc.ReturnTypeForValues(args)
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if args[0].Type() == cty.String {
			return stdlib.Reverse(args[0])
		}
		return stdlib.ReverseList(args[0])
	},
})

// matchKeysFunc returns those of values whose counterpart in keys is in search.
var matchKeysFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "values", Type: cty.List(cty.DynamicPseudoType)},
		{Name: "keys", Type: cty.List(cty.DynamicPseudoType)},
		{Name: "search", Type: cty.List(cty.DynamicPseudoType)},
	},
	Type: func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
	Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
		values, keys, search := args[0].AsValueSlice(), args[1].AsValueSlice(), args[2].AsValueSlice()
		if len(values) != len(keys) {
			return cty.NilVal, function.NewArgErrorf(1, "there are %d values and %d keys", len(values), len(keys))
		}
		var out []cty.Value
		for i, key := range keys {
			for _, wanted := range search {
				equal, err := stdlib.Equal(key, wanted)
				if err != nil {
					return cty.NilVal, err
				}
				if !equal.IsKnown() {
					return cty.UnknownVal(t), nil
				}
				if equal.True() {
					out = append(out, values[i])
					break
				}
			}
		}
		if len(out) == 0 {
			return cty.ListValEmpty(t.ElementType()), nil
		}
		return cty.ListVal(out), nil
	},
})

// transposeFunc swaps the keys and the values of a map of lists of strings.
var transposeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "values", Type: cty.Map(cty.List(cty.String))}},
	Type:   function.StaticReturnType(cty.Map(cty.List(cty.String))),
	Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
		lists := map[string][]cty.Value{}
		for it := args[0].ElementIterator(); it.Next(); {
			key, list := it.Element()
			if !list.IsWhollyKnown() {
				return cty.UnknownVal(t), nil
			}
			if list.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "the list of %q is null", key.AsString())
			}
			for _, e := range list.AsValueSlice() {
				if e.IsNull() {
					return cty.NilVal, function.NewArgErrorf(0, "the list of %q has null in it", key.AsString())
				}
				lists[e.AsString()] = append(lists[e.AsString()], key)
			}
		}
		if len(lists) == 0 {
			return cty.MapValEmpty(cty.List(cty.String)), nil
		}
		out := map[string]cty.Value{}
		for key, list := range lists {
			out[key] = cty.ListVal(list)
		}
		return cty.MapVal(out), nil
	},
})

// sensitiveFunc, nonsensitiveFunc and isSensitiveFunc are Terraform's.
var (
	sensitiveFunc    = markFunc(func(v cty.Value) cty.Value { return v.Mark(sensitiveMark{}) })
	nonsensitiveFunc = markFunc(func(v cty.Value) cty.Value { plain, _ := v.Unmark(); return plain })

	isSensitiveFunc = function.New(&function.Spec{
		Params: []function.Parameter{anyValue},
		Type:   function.StaticReturnType(cty.Bool),
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return cty.BoolVal(args[0].IsMarked()), nil },
	})
)

// anyValue is a parameter that takes everything as it is.
var anyValue = function.Parameter{
	Name: "value", Type: cty.DynamicPseudoType,
	AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true,
}

func markFunc(change func(cty.Value) cty.Value) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{anyValue},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return change(args[0]), nil },
	})
}

// sumFunc adds the elements of a list or a set.
var sumFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !args[0].CanIterateElements() || args[0].LengthInt() == 0 {
			return cty.NilVal, function.NewArgErrorf(0, "sum takes a list of at least one number")
		}
		total := cty.Zero
		for it := args[0].ElementIterator(); it.Next(); {
			_, e := it.Element()
			v, err := convert.Convert(e, cty.Number)
			if err != nil || v.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "an element is not a number")
			}
			if !v.IsKnown() {
				return cty.UnknownVal(cty.Number), nil
			}
			total = total.Add(v)
		}
		return total, nil
	},
})
