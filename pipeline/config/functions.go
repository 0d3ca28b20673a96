package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// standardFunctions are those that neither read the machine nor the clock.
// Names are Terraform's and bake's; where the two differ, both are there.
var standardFunctions = map[string]function.Function{
	"abs":             stdlib.AbsoluteFunc,
	"absolute":        stdlib.AbsoluteFunc,
	"add":             stdlib.AddFunc,
	"alltrue":         allTrueFunc,
	"and":             stdlib.AndFunc,
	"anytrue":         anyTrueFunc,
	"base64decode":    base64DecodeFunc,
	"base64encode":    base64EncodeFunc,
	"basename":        basenameFunc,
	"byteslen":        stdlib.BytesLenFunc,
	"bytesslice":      stdlib.BytesSliceFunc,
	"can":             tryfunc.CanFunc,
	"ceil":            stdlib.CeilFunc,
	"chomp":           stdlib.ChompFunc,
	"chunklist":       stdlib.ChunklistFunc,
	"coalesce":        stdlib.CoalesceFunc,
	"coalescelist":    stdlib.CoalesceListFunc,
	"compact":         stdlib.CompactFunc,
	"concat":          stdlib.ConcatFunc,
	"contains":        stdlib.ContainsFunc,
	"csvdecode":       stdlib.CSVDecodeFunc,
	"dirname":         dirnameFunc,
	"distinct":        stdlib.DistinctFunc,
	"divide":          stdlib.DivideFunc,
	"element":         stdlib.ElementFunc,
	"endswith":        endsWithFunc,
	"equal":           stdlib.EqualFunc,
	"flatten":         stdlib.FlattenFunc,
	"floor":           stdlib.FloorFunc,
	"format":          stdlib.FormatFunc,
	"formatdate":      stdlib.FormatDateFunc,
	"formatlist":      stdlib.FormatListFunc,
	"greaterthan":     stdlib.GreaterThanFunc,
	"hasindex":        stdlib.HasIndexFunc,
	"indent":          stdlib.IndentFunc,
	"index":           stdlib.IndexFunc,
	"int":             stdlib.IntFunc,
	"join":            stdlib.JoinFunc,
	"jsondecode":      stdlib.JSONDecodeFunc,
	"jsonencode":      stdlib.JSONEncodeFunc,
	"keys":            stdlib.KeysFunc,
	"length":          lengthFunc,
	"lessthan":        stdlib.LessThanFunc,
	"log":             stdlib.LogFunc,
	"lookup":          stdlib.LookupFunc,
	"lower":           stdlib.LowerFunc,
	"max":             stdlib.MaxFunc,
	"md5":             digestFunc("md5"),
	"merge":           stdlib.MergeFunc,
	"min":             stdlib.MinFunc,
	"modulo":          stdlib.ModuloFunc,
	"multiply":        stdlib.MultiplyFunc,
	"negate":          stdlib.NegateFunc,
	"not":             stdlib.NotFunc,
	"notequal":        stdlib.NotEqualFunc,
	"one":             oneFunc,
	"or":              stdlib.OrFunc,
	"parseint":        stdlib.ParseIntFunc,
	"pow":             boundedPowFunc,
	"range":           stdlib.RangeFunc,
	"regex":           stdlib.RegexFunc,
	"regex_replace":   stdlib.RegexReplaceFunc,
	"regexall":        stdlib.RegexAllFunc,
	"replace":         replaceFunc,
	"reverse":         stdlib.ReverseListFunc,
	"reverselist":     stdlib.ReverseListFunc,
	"sanitize":        sanitizeFunc,
	"sethaselement":   stdlib.SetHasElementFunc,
	"setintersection": stdlib.SetIntersectionFunc,
	"setproduct":      stdlib.SetProductFunc,
	"setsubtract":     stdlib.SetSubtractFunc,
	"setunion":        stdlib.SetUnionFunc,
	"sha1":            digestFunc("sha1"),
	"sha256":          digestFunc("sha256"),
	"sha512":          digestFunc("sha512"),
	"signum":          stdlib.SignumFunc,
	"slice":           stdlib.SliceFunc,
	"sort":            stdlib.SortFunc,
	"split":           stdlib.SplitFunc,
	"startswith":      startsWithFunc,
	"strcontains":     strContainsFunc,
	"strlen":          stdlib.StrlenFunc,
	"strrev":          stdlib.ReverseFunc,
	"substr":          stdlib.SubstrFunc,
	"subtract":        stdlib.SubtractFunc,
	"sum":             sumFunc,
	"timeadd":         stdlib.TimeAddFunc,
	"title":           stdlib.TitleFunc,
	"tobool":          convertFunc("tobool"),
	"tolist":          convertFunc("tolist"),
	"tomap":           convertFunc("tomap"),
	"tonumber":        convertFunc("tonumber"),
	"toset":           convertFunc("toset"),
	"tostring":        convertFunc("tostring"),
	"trim":            stdlib.TrimFunc,
	"trimprefix":      stdlib.TrimPrefixFunc,
	"trimspace":       stdlib.TrimSpaceFunc,
	"trimsuffix":      stdlib.TrimSuffixFunc,
	"try":             tryfunc.TryFunc,
	"upper":           stdlib.UpperFunc,
	"urlencode":       urlEncodeFunc,
	"values":          stdlib.ValuesFunc,
	"zipmap":          stdlib.ZipmapFunc,
}

// refusedFunctions are functions that people know from elsewhere, and why
// dray has none of them.
var refusedFunctions = map[string]string{
	"timestamp":     "The same commit must give the same bytes whenever it is built. git.time is the commit's time.",
	"plantimestamp": "The same commit must give the same bytes whenever it is built. git.time is the commit's time.",
	"uuidv4":        "The same commit must give the same bytes whenever it is built. git.sha is unique to a commit.",
	"uuid":          "The same commit must give the same bytes whenever it is built. git.sha is unique to a commit.",
	"bcrypt":        "Its result differs each time. Give a hash as a secret.",
	"sensitive":     "Mark a variable as sensitive instead.",
	"getenv":        `Write env("NAME").`,
}

// functions returns everything that an expression can call.
func (l *loader) functions() map[string]function.Function {
	out := make(map[string]function.Function, len(standardFunctions)+4)
	for name, f := range standardFunctions {
		out[name] = f
	}
	out["env"] = l.envFunc()
	out["file"] = l.fileFunc()
	out["fileexists"] = l.fileExistsFunc()
	out["templatefile"] = l.templateFileFunc()
	return out
}

// unknownFunction says what was probably meant.
func (s *scope) unknownFunction(name string) string {
	if why := refusedFunctions[name]; why != "" {
		return fmt.Sprintf("dray has no function %q. %s", name, why)
	}
	return fmt.Sprintf("There is no function %q.%s", name, didYouMean(name, sortedKeys(s.functions)))
}
