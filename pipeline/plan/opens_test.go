package plan

import (
	"testing"

	"dray/pipeline"
)

// TestCovers: a port opens where anybody reaches it who did not before.
func TestCovers(t *testing.T) {
	port := func(address, from []string) pipeline.Port {
		return pipeline.Port{Publish: 5432, Protocol: "tcp", Address: address, From: from}
	}
	office, inner := []string{"10.0.0.5"}, []string{"127.0.0.1"}
	for name, c := range map[string]struct {
		before, now pipeline.Port
		want        bool
	}{
		"the same":                     {port(nil, nil), port(nil, nil), true},
		"narrowed to an address":       {port(nil, nil), port(office, nil), true},
		"widened to all addresses":     {port(office, nil), port(nil, nil), false},
		"the loopback beside":          {port(office, nil), port(append(inner, office...), nil), true},
		"from the loopback to outside": {port(inner, nil), port(office, nil), false},
		"narrowed to some clients":     {port(nil, nil), port(nil, []string{"10.0.0.0/8"}), true},
		"to fewer clients":             {port(nil, []string{"10.0.0.0/8"}), port(nil, []string{"10.1.0.0/16", "10.0.0.7/32"}), true},
		"to other clients":             {port(nil, []string{"10.0.0.0/8"}), port(nil, []string{"10.0.0.0/8", "192.0.2.0/24"}), false},
		"to everybody":                 {port(nil, []string{"10.0.0.0/8"}), port(nil, nil), false},
		"another port":                 {pipeline.Port{Publish: 80, Protocol: "tcp"}, port(nil, nil), false},
	} {
		if got := covers(c.before, c.now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
