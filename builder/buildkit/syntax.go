package buildkit

import (
	"os"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// builtinSyntax is the Dockerfile syntax of the BuildKit that is linked in:
// docker/dockerfile:1.27.
const builtinSyntax = 27

// syntaxOf returns the frontend's image that a Dockerfile's first line asks for
// ("# syntax=docker/dockerfile:1"), and that line; both are empty where there
// is none.
func syntaxOf(dockerfile string) (image, line string) {
	data, err := os.ReadFile(dockerfile)
	if err != nil {
		return "", "" // the builder reads it again, and says what is wrong
	}
	image, line, _, ok := parser.DetectSyntax(data)
	if !ok {
		return "", ""
	}
	return image, line
}

// isBuiltin says whether the frontend that is linked in understands what an
// image of the Dockerfile frontend does. Without this, BuildKit would pull that
// image and run it in a container for each build.
func isBuiltin(image string) bool {
	image = strings.TrimPrefix(image, "docker.io/")
	tag, ok := strings.CutPrefix(image, "docker/dockerfile:")
	if !ok {
		return image == "docker/dockerfile"
	}
	if tag == "latest" || tag == "1" {
		return true
	}
	minor, ok := strings.CutPrefix(tag, "1.")
	if !ok {
		return false
	}
	minor, patch, hasPatch := strings.Cut(minor, ".")
	n, err := strconv.Atoi(minor)
	if _, patchErr := strconv.Atoi(patch); hasPatch && patchErr != nil {
		return false
	}
	return err == nil && n <= builtinSyntax
}
