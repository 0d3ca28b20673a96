package main

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/spf13/pflag"
)

// A mirror's address becomes part of an image's name, which a slash at its end
// would make unreadable.
func TestMirrorsLoseASlashAtTheEnd(t *testing.T) {
	t.Setenv("DRAY_MIRRORS", "docker.io=https://m.example.com/,ghcr.io=http://localhost:5000/cache//")
	r := &reading{viper: newViper(), flags: pflag.NewFlagSet("", pflag.ContinueOnError)}
	got := r.mirrors()
	want := map[string][]string{"docker.io": {"https://m.example.com"}, "ghcr.io": {"http://localhost:5000/cache"}}
	if len(r.errs) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, r.errs, want)
	}
}

func TestConfigDirIsTheDocumentedOne(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	t.Setenv("XDG_CONFIG_HOME", "")
	for _, system := range []string{"linux", "darwin"} {
		if got, want := configDir(system), filepath.Join("/home/ann", ".config", "dray"); got != want {
			t.Errorf("%s: got %s, want %s", system, got, want)
		}
	}
	t.Setenv("XDG_CONFIG_HOME", "/etc/xdg")
	if got, want := configDir("darwin"), filepath.Join("/etc/xdg", "dray"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
