package ui

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	list := Table{Header: []string{"NAME", "SIZE", "BY", "NOTE"}, Spare: []string{"BY", "SIZE"}, Note: "NOTE"}
	list.Add("größe", "1", "mira", strings.Repeat("n", 30))
	list.Add("b", "", "tom")
	for width, want := range map[int]string{
		0:  "NAME    SIZE   BY     NOTE\ngröße   1      mira   nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\nb       -      tom    -\n",
		47: "NAME   SIZE  BY    NOTE\ngröße  1     mira  nnnnnnnnnnnnnnnnnnnnnnnnnnn…\nb      -     tom   -\n",
		38: "NAME   SIZE  NOTE\ngröße  1     nnnnnnnnnnnnnnnnnnnnnnnn…\nb      -     -\n",
		30: "NAME   NOTE\ngröße  nnnnnnnnnnnnnnnnnnnnnn…\nb      -\n",
	} {
		if got := list.Text(width); got != want {
			t.Errorf("in %d columns:\n%s\nwant\n%s", width, got, want)
		}
	}
}
