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

// builtin returns the Dockerfile's syntax line ("# syntax=docker/dockerfile:1")
// if the frontend that is linked in understands what it asks for, and "" if
// the line is missing or asks for another. Without this, BuildKit would pull
// the named image and run it in a container for each build.
func builtin(dockerfile string) string {
	data, err := os.ReadFile(dockerfile)
	if err != nil {
		return "" // the builder reads it again, and says what is wrong
	}
	name, line, _, ok := parser.DetectSyntax(data)
	if !ok || !isBuiltin(name) {
		return ""
	}
	return line
}

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
