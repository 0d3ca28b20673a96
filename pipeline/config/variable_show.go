package config

import (
	"fmt"
	"math/big"

	"github.com/zclconf/go-cty/cty"

	"dray/pipeline/secret"
)

// shown returns the variables' values as text for people.
func (s *scope) shown() map[string]string {
	out := map[string]string{}
	for _, v := range s.variables {
		out[v.name] = showValue(v.node.value)
	}
	return out
}

func showValue(v cty.Value) string {
	switch {
	case v.ContainsMarked():
		return secret.Value{}.String()
	case v.IsNull():
		return "null"
	case !v.IsWhollyKnown():
		return "unknown"
	case v.Type() == cty.String:
		return fmt.Sprintf("%q", v.AsString())
	case v.Type() == cty.Number:
		return v.AsBigFloat().Text('f', -1)
	}
	return jsonText(v)
}

// sensitiveValues returns the texts inside sensitive variables.
func (s *scope) sensitiveValues() []secret.Value {
	var out []secret.Value
	for _, v := range s.variables {
		if !v.sensitive {
			continue
		}
		plain, _ := v.node.value.UnmarkDeep()
		err := cty.Walk(plain, func(_ cty.Path, e cty.Value) (bool, error) {
			if !e.IsNull() && e.IsKnown() && e.Type() == cty.String {
				out = append(out, secret.NewValue(e.AsString()))
			}
			if !e.IsNull() && e.IsKnown() && e.Type() == cty.Number {
				out = append(out, secret.NewValue(numberText(e.AsBigFloat())))
			}
			return true, nil
		})
		if err != nil {
			panic("config: walking a value: " + err.Error()) // the callback returns none
		}
	}
	return out
}

func numberText(f *big.Float) string { return f.Text('f', -1) }
