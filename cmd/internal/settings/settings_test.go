package settings

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"dray/builder/registry"
)

// A mirror's address becomes part of an image's name, which a slash at its end
// would make unreadable.
func TestMirrorsLoseASlashAtTheEnd(t *testing.T) {
	t.Setenv("DRAY_MIRRORS", "docker.io=https://m.example.com/,ghcr.io=http://localhost:5000/cache//")
	r := &reading{viper: NewReader(), flags: pflag.NewFlagSet("", pflag.ContinueOnError)}
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

func TestKeep(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]registry.Keep{
		"20GB,14d": {Bytes: 20 << 30, Age: 14 * day}, "14d, 20GB": {Bytes: 20 << 30, Age: 14 * day},
		"512m": {Bytes: 512 << 20}, "36h": {Age: 36 * time.Hour},
	} {
		if got, err := parseKeep(text); err != nil || got != want {
			t.Errorf("%s: %+v (%v), want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "20GB,10GB", "1d,2d", "many", "-1d", "20GB,"} {
		if got, err := parseKeep(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestBuilderTLSFitsTheAddress(t *testing.T) {
	for _, x := range []struct {
		address, ca, cert, key string
		fails                  string
	}{
		{"tcp://b:1234", "ca.pem", "", "", ""},
		{"tcp://b:1234", "", "c.pem", "k.pem", ""},
		{"tcp://b:1234", "", "c.pem", "", "go together"},
		{"", "ca.pem", "", "", "the builder is the embedded one"},
		{"unix:///b.sock", "ca.pem", "", "", "the builder is unix:///b.sock"},
		{"", "", "", "", ""},
	} {
		v := NewReader()
		for name, value := range map[string]string{"builder-ca": x.ca, "builder-cert": x.cert, "builder-key": x.key} {
			v.Set(name, value)
		}
		r := &reading{viper: v, flags: pflag.NewFlagSet("", pflag.ContinueOnError)}
		tls := r.builderTLS(x.address)
		if err := errors.Join(r.errs...); (err == nil) != (x.fails == "") || err != nil && !strings.Contains(err.Error(), x.fails) {
			t.Errorf("%+v: %v", x, err)
		}
		if (tls == nil) != (x.ca+x.cert+x.key == "") {
			t.Errorf("%+v: %+v", x, tls)
		}
	}
}
