// Command mkbundle makes the bundle of one architecture, for embedding:
//
//	mkbundle -arch amd64 -bin bin/linux-amd64 -out deploy/bundle/dist
//
// writes linux-amd64.tar.gz and linux-amd64.json there. The version is that of
// mkbundle itself: give it the same -ldflags as dray.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"dray/deploy/bundle"
)

func main() {
	arch := flag.String("arch", "amd64", "GOARCH of the programs")
	bin := flag.String("bin", "bin", "folder with drayd and dray-oci")
	out := flag.String("out", "deploy/bundle/dist", "folder to write to")
	flag.Parse()
	if err := run(*arch, *bin, *out); err != nil {
		fmt.Fprintln(os.Stderr, "mkbundle:", err)
		os.Exit(1)
	}
}

func run(arch, bin, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	base := filepath.Join(out, "linux-"+arch)
	f, err := os.Create(base + ".tar.gz")
	if err != nil {
		return err
	}
	record, err := bundle.Make(f, arch, bin, 9)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	fmt.Printf("%s.tar.gz %d bytes, bundle %s\n", base, record.Size, record.Digest)
	return os.WriteFile(base+".json", append(text, '\n'), 0o644)
}
