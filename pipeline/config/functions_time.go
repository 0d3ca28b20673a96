package config

import (
	"fmt"
	"math"
	"os"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// timestampFunc is when dray began: the same wherever it is called in one run.
func (l *loader) timestampFunc() function.Function {
	return function.New(&function.Spec{
		Type: function.StaticReturnType(cty.String),
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			return cty.StringVal(l.began.UTC().Format(time.RFC3339)), nil
		},
	})
}

// timeCmpFunc is -1, 0 or 1 where the first time is before, at or behind the
// second: RFC 3339.
var timeCmpFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "a", Type: cty.String}, {Name: "b", Type: cty.String}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		var times [2]time.Time
		for i, arg := range args {
			t, err := time.Parse(time.RFC3339, arg.AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(i, "%q is not a time such as 2026-11-28T10:00:00Z", arg.AsString())
			}
			times[i] = t
		}
		return cty.NumberIntVal(int64(times[0].Compare(times[1]))), nil
	},
})

// formatTimestampFunc is bake's formattimestamp("FORMAT", time): the format is
// formatdate's, or "X" for seconds since 1970; the time is such a number, or
// RFC 3339.
var formatTimestampFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "format", Type: cty.String}, {Name: "time", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		var t time.Time
		var err error
		switch args[1].Type() {
		case cty.Number:
			t, err = unixTime(args[1])
		case cty.String:
			t, err = time.Parse(time.RFC3339, args[1].AsString())
		default:
			err = fmt.Errorf("a time is a number of seconds or a string, not %s", valueName(args[1]))
		}
		if err != nil {
			return cty.NilVal, function.NewArgError(1, err)
		}
		if args[0].AsString() == "X" {
			return cty.StringVal(fmt.Sprint(t.Unix())), nil
		}
		return stdlib.FormatDate(args[0], cty.StringVal(t.Format(time.RFC3339)))
	},
})

// unixTime reads seconds since 1970.
func unixTime(v cty.Value) (time.Time, error) {
	f, _ := v.AsBigFloat().Float64()
	if f != math.Trunc(f) || math.Abs(f) > 1<<38 { // some 8,700 years
		return time.Time{}, fmt.Errorf("a time is a whole number of seconds since 1970")
	}
	return time.Unix(int64(f), 0).UTC(), nil
}

var unixTimeType = cty.Object(map[string]cty.Type{
	"year": cty.Number, "year_day": cty.Number, "day": cty.Number, "month": cty.Number, "month_name": cty.String,
	"weekday": cty.Number, "weekday_name": cty.String, "hour": cty.Number, "minute": cty.Number, "second": cty.Number,
	"rfc3339": cty.String, "iso_year": cty.Number, "iso_week": cty.Number,
})

// unixTimestampParseFunc is bake's unixtimestampparse(SECONDS).
var unixTimestampParseFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "seconds", Type: cty.Number}},
	Type:   function.StaticReturnType(unixTimeType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		t, err := unixTime(args[0])
		if err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		number := func(n int) cty.Value { return cty.NumberIntVal(int64(n)) }
		isoYear, isoWeek := t.ISOWeek()
		return cty.ObjectVal(map[string]cty.Value{
			"year": number(t.Year()), "year_day": number(t.YearDay()), "day": number(t.Day()),
			"month": number(int(t.Month())), "month_name": cty.StringVal(t.Month().String()),
			"weekday": number(int(t.Weekday())), "weekday_name": cty.StringVal(t.Weekday().String()),
			"hour": number(t.Hour()), "minute": number(t.Minute()), "second": number(t.Second()),
			"rfc3339": cty.StringVal(t.Format(time.RFC3339)), "iso_year": number(isoYear), "iso_week": number(isoWeek),
		}), nil
	},
})

// semverCmpFunc is bake's semvercmp("VERSION", "CONSTRAINT"), such as ">= 1.2".
var semverCmpFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "version", Type: cty.String}, {Name: "constraint", Type: cty.String}},
	Type:   function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		version, err := semver.NewVersion(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(0, "%q is not a version such as 1.2.3", args[0].AsString())
		}
		constraint, err := semver.NewConstraint(args[1].AsString())
		if err != nil || args[1].AsString() == "" {
			return cty.NilVal, function.NewArgErrorf(1, `%q is not a constraint such as ">= 1.2"`, args[1].AsString())
		}
		return cty.BoolVal(constraint.Check(version)), nil
	},
})

var homeDirFunc = function.New(&function.Spec{
	Type: function.StaticReturnType(cty.String),
	Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
		home, err := os.UserHomeDir()
		if err != nil {
			return cty.NilVal, fmt.Errorf("this user has no home folder: %w", err)
		}
		return cty.StringVal(home), nil
	},
})
