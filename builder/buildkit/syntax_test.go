package buildkit

import "testing"

func TestIsBuiltin(t *testing.T) {
	for image, want := range map[string]bool{
		"docker/dockerfile":               true,
		"docker/dockerfile:1":             true,
		"docker/dockerfile:latest":        true,
		"docker.io/docker/dockerfile:1.4": true,
		"docker/dockerfile:1.7.0":         true,
		"docker/dockerfile:1.27":          true,
		"docker/dockerfile:1.28":          false,
		"docker/dockerfile:1-labs":        false,
		"docker/dockerfile:1.7-labs":      false,
		"docker/dockerfile:1.7.0-labs":    false,
		"docker/dockerfile:2":             false,
		"docker/dockerfile:1@sha256:00":   false,
		"docker/dockerfile-upstream:1":    false,
		"example.com/dockerfile:1":        false,
	} {
		if got := isBuiltin(image); got != want {
			t.Errorf("%s: %t, want %t", image, got, want)
		}
	}
}
