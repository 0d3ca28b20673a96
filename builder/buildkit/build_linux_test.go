package buildkit

import (
	"testing"

	"dray/pipeline/event"
)

func TestBuild(t *testing.T) {
	l := newLab(t)
	req := project(t, map[string]string{
		"Dockerfile": "FROM scratch\nCOPY hello /\nCMD [\"/hello\"]\n",
		"hello":      "world\n",
	})
	res, err := l.client().Build(t.Context(), req, event.Func(func(e event.Event) { t.Logf("%+v", e) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", res)
}
