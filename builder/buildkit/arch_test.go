package buildkit

import (
	"net/http"
	"runtime"
)

const hostArch = runtime.GOARCH

// logged calls note with the path of every request.
func logged(next http.Handler, note func(path string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(r.URL.Path)
		next.ServeHTTP(w, r)
	})
}
