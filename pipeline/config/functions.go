package config

import (
	"fmt"
	"maps"

	"github.com/hashicorp/go-cty-funcs/cidr"
	"github.com/hashicorp/go-cty-funcs/crypto"
	"github.com/hashicorp/go-cty-funcs/filesystem"
	"github.com/hashicorp/go-cty-funcs/uuid"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	yaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"dray/pipeline/phrase"
)

// standardFunctions are those that neither read the machine nor the clock: all of
// Terraform's and of bake's. Where the two mean different things by a name,
// Terraform's meaning holds; docs/FILE.md lists those.
var standardFunctions = map[string]function.Function{
	"abs":                    stdlib.AbsoluteFunc,
	"absolute":               stdlib.AbsoluteFunc,
	"add":                    stdlib.AddFunc,
	"alltrue":                allTrueFunc,
	"and":                    stdlib.AndFunc,
	"anytrue":                anyTrueFunc,
	"base64decode":           base64DecodeFunc,
	"base64encode":           base64EncodeFunc,
	"base64gzip":             base64GzipFunc,
	"base64sha256":           digestFunc("base64sha256"),
	"base64sha512":           digestFunc("base64sha512"),
	"basename":               basenameFunc,
	"byteslen":               stdlib.BytesLenFunc,
	"bytesslice":             stdlib.BytesSliceFunc,
	"can":                    tryfunc.CanFunc,
	"ceil":                   stdlib.CeilFunc,
	"chomp":                  stdlib.ChompFunc,
	"chunklist":              stdlib.ChunklistFunc,
	"cidrhost":               cidr.HostFunc,
	"cidrnetmask":            cidr.NetmaskFunc,
	"cidrsubnet":             cidr.SubnetFunc,
	"cidrsubnets":            cidr.SubnetsFunc,
	"coalesce":               coalesceFunc,
	"coalescelist":           stdlib.CoalesceListFunc,
	"compact":                stdlib.CompactFunc,
	"concat":                 stdlib.ConcatFunc,
	"contains":               stdlib.ContainsFunc,
	"convert":                typeexpr.ConvertFunc,
	"csvdecode":              stdlib.CSVDecodeFunc,
	"dirname":                dirnameFunc,
	"distinct":               stdlib.DistinctFunc,
	"divide":                 stdlib.DivideFunc,
	"element":                stdlib.ElementFunc,
	"endswith":               endsWithFunc,
	"equal":                  stdlib.EqualFunc,
	"flatten":                stdlib.FlattenFunc,
	"floor":                  stdlib.FloorFunc,
	"format":                 stdlib.FormatFunc,
	"formatdate":             stdlib.FormatDateFunc,
	"formatlist":             stdlib.FormatListFunc,
	"formattimestamp":        formatTimestampFunc,
	"greaterthan":            stdlib.GreaterThanFunc,
	"greaterthanorequalto":   stdlib.GreaterThanOrEqualToFunc,
	"hasindex":               stdlib.HasIndexFunc,
	"indent":                 stdlib.IndentFunc,
	"index":                  indexFunc,
	"indexof":                indexOfFunc,
	"int":                    stdlib.IntFunc,
	"issensitive":            isSensitiveFunc,
	"join":                   stdlib.JoinFunc,
	"jsondecode":             jsonDecodeFunc,
	"jsonencode":             stdlib.JSONEncodeFunc,
	"keys":                   stdlib.KeysFunc,
	"length":                 lengthFunc,
	"lessthan":               stdlib.LessThanFunc,
	"lessthanorequalto":      stdlib.LessThanOrEqualToFunc,
	"log":                    stdlib.LogFunc,
	"lookup":                 stdlib.LookupFunc,
	"lower":                  stdlib.LowerFunc,
	"matchkeys":              matchKeysFunc,
	"max":                    stdlib.MaxFunc,
	"md5":                    digestFunc("md5"),
	"merge":                  stdlib.MergeFunc,
	"min":                    stdlib.MinFunc,
	"modulo":                 stdlib.ModuloFunc,
	"multiply":               stdlib.MultiplyFunc,
	"negate":                 stdlib.NegateFunc,
	"nonsensitive":           nonsensitiveFunc,
	"not":                    stdlib.NotFunc,
	"notequal":               stdlib.NotEqualFunc,
	"one":                    oneFunc,
	"or":                     stdlib.OrFunc,
	"parseint":               stdlib.ParseIntFunc,
	"pow":                    boundedPowFunc,
	"range":                  stdlib.RangeFunc,
	"regex":                  stdlib.RegexFunc,
	"regex_replace":          stdlib.RegexReplaceFunc,
	"regexall":               stdlib.RegexAllFunc,
	"replace":                replaceFunc,
	"reverse":                reverseFunc,
	"reverselist":            stdlib.ReverseListFunc,
	"rsadecrypt":             crypto.RsaDecryptFunc,
	"sanitize":               sanitizeFunc,
	"semvercmp":              semverCmpFunc,
	"sensitive":              sensitiveFunc,
	"sethaselement":          stdlib.SetHasElementFunc,
	"setintersection":        stdlib.SetIntersectionFunc,
	"setproduct":             stdlib.SetProductFunc,
	"setsubtract":            stdlib.SetSubtractFunc,
	"setsymmetricdifference": stdlib.SetSymmetricDifferenceFunc,
	"setunion":               stdlib.SetUnionFunc,
	"sha1":                   digestFunc("sha1"),
	"sha256":                 digestFunc("sha256"),
	"sha512":                 digestFunc("sha512"),
	"signum":                 stdlib.SignumFunc,
	"slice":                  stdlib.SliceFunc,
	"sort":                   stdlib.SortFunc,
	"split":                  stdlib.SplitFunc,
	"startswith":             startsWithFunc,
	"strcontains":            strContainsFunc,
	"strlen":                 stdlib.StrlenFunc,
	"strrev":                 stdlib.ReverseFunc,
	"substr":                 stdlib.SubstrFunc,
	"subtract":               stdlib.SubtractFunc,
	"sum":                    sumFunc,
	"textdecodebase64":       textDecodeFunc,
	"textencodebase64":       textEncodeFunc,
	"timeadd":                stdlib.TimeAddFunc,
	"timecmp":                timeCmpFunc,
	"title":                  stdlib.TitleFunc,
	"tobool":                 convertFunc("tobool"),
	"tolist":                 convertFunc("tolist"),
	"tomap":                  convertFunc("tomap"),
	"tonumber":               convertFunc("tonumber"),
	"toset":                  convertFunc("toset"),
	"tostring":               convertFunc("tostring"),
	"transpose":              transposeFunc,
	"trim":                   stdlib.TrimFunc,
	"trimprefix":             stdlib.TrimPrefixFunc,
	"trimspace":              stdlib.TrimSpaceFunc,
	"trimsuffix":             stdlib.TrimSuffixFunc,
	"try":                    tryfunc.TryFunc,
	"unixtimestampparse":     unixTimestampParseFunc,
	"upper":                  stdlib.UpperFunc,
	"urlencode":              urlEncodeFunc,
	"uuidv5":                 uuid.V5Func,
	"values":                 stdlib.ValuesFunc,
	"yamldecode":             yaml.YAMLDecodeFunc,
	"yamlencode":             yaml.YAMLEncodeFunc,
	"zipmap":                 stdlib.ZipmapFunc,
}

// refusedFunctions are functions that people know from elsewhere, and what to
// write instead.
var refusedFunctions = map[string]string{
	"list":            "Write [a, b].",
	"map":             "Write { a = b }.",
	"ephemeralasnull": "There are no ephemeral values here.",
	"type":            "It belongs to Terraform's console.",
	"getenv":          `Write env("NAME").`,
}

// functions returns everything that an expression can call.
func (l *loader) functions() map[string]function.Function {
	out := maps.Clone(standardFunctions)
	maps.Copy(out, map[string]function.Function{
		"abspath":        l.absPathFunc(),
		"env":            l.envFunc(),
		"file":           l.fileFunc(),
		"filebase64":     l.fileBase64Func(),
		"fileexists":     l.fileExistsFunc(),
		"fileset":        filesystem.MakeFileSetFunc(l.dir),
		"homedir":        homeDirFunc,
		"pathexpand":     filesystem.PathExpandFunc,
		"templatefile":   l.templateFileFunc(),
		"templatestring": l.templateStringFunc(),
		// What these give differs from run to run.
		"bcrypt":        boundedBcryptFunc,
		"plantimestamp": l.timestampFunc(),
		"timestamp":     l.timestampFunc(),
		"uuid":          uuid.V4Func,
		"uuidv4":        uuid.V4Func,
	})
	for name := range digests {
		file := "file" + name // filemd5, filesha256, filebase64sha256
		out[file] = l.fileDigestFunc(name)
	}
	return out
}

// unknownFunction returns the detail of a fault: which function was probably meant.
func (s *scope) unknownFunction(name string) string {
	if why := refusedFunctions[name]; why != "" {
		return fmt.Sprintf("dray has no function %q. %s", name, why)
	}
	return fmt.Sprintf("There is no function %q.%s", name, phrase.DidYouMean(name, sortedKeys(s.functions)))
}
