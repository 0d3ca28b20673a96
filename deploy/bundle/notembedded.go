//go:build !bundled

package bundle

func embeddedBundle(string) (*Bundle, error) { return nil, nil }
