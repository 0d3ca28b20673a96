package secret

import (
	"encoding/hex"
	"runtime"
	"sync"

	"golang.org/x/crypto/argon2"
)

// Cost of a version: OWASP's smallest for argon2id, in passes and KiB. Some
// hundredths of a second of one core.
const (
	versionPasses  = 2
	versionMemory  = 19 * 1024
	versionThreads = 1
	versionSize    = 16 // bytes
)

// Version names a value without telling it: hosts keep a secret under its
// version, and a release lists versions, so that a changed value is a changed
// release and a rollback finds the old value. It is 32 hexadecimal digits.
//
// The same project, name and value give the same version on every machine, so
// there is no salt that one machine knows alone: what would be one must lie in
// the repository, where an attacker reads it too. What slows down guessing a
// short value is the cost of argon2id (RFC 9106), with project and name as the
// salt, so that equal values under two names do not show, and no table serves
// two projects. A secret that can be guessed in a few million tries stays one
// that should be longer. (2026-11)
func Version(project, name string, value Value) string {
	salt := "dray secret version 1\x00" + project + "\x00" + name
	sum := argon2.IDKey([]byte(value.Reveal()), []byte(salt), versionPasses, versionMemory, versionThreads, versionSize)
	return hex.EncodeToString(sum)
}

// Versions returns the version of each value, by name.
func Versions(project string, values map[string]Value) map[string]string {
	var mu sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	out := make(map[string]string, len(values))
	for name, value := range values {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			version := Version(project, name, value)
			mu.Lock()
			defer mu.Unlock()
			out[name] = version
		})
	}
	group.Wait()
	return out
}
