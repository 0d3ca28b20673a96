package buildkit

import (
	"errors"
	"strings"
	"testing"

	"dray/builder"
	"dray/pipeline"
)

func TestBadPatternHasItsPlace(t *testing.T) {
	for name, x := range map[string]struct {
		files map[string]string
		at    pipeline.Pos
	}{
		"the context's":        {map[string]string{"Dockerfile": "", ".dockerignore": "# comment\n\n*.md\na[\n"}, pipeline.Pos{File: ".dockerignore", Line: 4, Column: 1}},
		"the Dockerfile's":     {map[string]string{"Dockerfile": "", "Dockerfile.dockerignore": "!b[", ".dockerignore": "fine"}, pipeline.Pos{File: "Dockerfile.dockerignore", Line: 1, Column: 1}},
		"one that is not used": {map[string]string{"Dockerfile": "", "Dockerfile.dockerignore": "fine", ".dockerignore": "a["}, pipeline.Pos{}},
		"none":                 {map[string]string{"Dockerfile": ""}, pipeline.Pos{}},
	} {
		t.Run(name, func(t *testing.T) {
			src, err := openSource(project(t, x.files))
			var f *builder.Failure
			if x.at == (pipeline.Pos{}) {
				if err != nil {
					t.Fatal(err)
				}
				src.close()
				return
			}
			if !errors.As(err, &f) || f.At != x.at || !strings.Contains(f.Detail(), ">") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestInlineDockerfileOfARemoteContext: without the option the builder takes
// the Dockerfile of what it fetches.
func TestInlineDockerfileOfARemoteContext(t *testing.T) {
	req := project(t, nil)
	req.Target.Context, req.Target.DockerfileInline = "https://git.example.com/shop.git#main:sub", "FROM scratch\n"
	src, err := openSource(req)
	if err != nil {
		t.Fatal(err)
	}
	defer src.close()
	if src.attrs["dockerfilekey"] != localDockerfile || src.mounts[localDockerfile] == nil {
		t.Errorf("options %v, mounts %v", src.attrs, src.mounts)
	}
}
