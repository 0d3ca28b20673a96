// Package settings reads those of the tool, not of a pipeline. They come,
// strongest first, from flags, from DRAY_* variables, and from a config file:
// $DRAY_CONFIG, or config.{yaml,toml,json} in $XDG_CONFIG_HOME/dray.
package settings

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"dray/builder/buildkit"
	"dray/builder/registry"
	"dray/pipeline/phrase"
)

// Settings are those of the tool.
type Settings struct {
	Builder     string              // address of a BuildKit; "" is the embedded one
	BuilderTLS  *buildkit.TLS       // of a builder at tcp://; nil: none of its own
	BuilderIdle time.Duration       // the embedded builder ends after this long without work
	Keep        registry.Keep       // bounds of the image store, and of the build cache
	Mirrors     map[string][]string // registry → addresses that are asked first
	Parallel    int                 // hosts, and builds, at a time
	DataDir     string              // images and builder state
	SSHConfig   string              // instead of ~/.ssh/config
	LockWait    time.Duration       // how long to wait for another deployer
	Lease       time.Duration       // how long hosts wait for this deployer when it falls silent; 0: the usual
	JSON        bool
	Quiet       bool
}

var settingFlags = []struct {
	name  string
	usage string
	value any
}{
	{"builder", "address of a BuildKit (unix://, tcp://, ssh://) instead of the embedded one", ""},
	{"builder-ca", "certificates of those who vouch for a builder at tcp:// (PEM)", ""},
	{"builder-cert", "certificate to show to a builder at tcp:// (PEM), with builder-key", ""},
	{"builder-key", "key of builder-cert (PEM)", ""},
	{"builder-idle", "end the embedded builder after this long without work", 10 * time.Minute},
	{"keep", "bounds of the image store and of the build cache, each: a size, a time without use", "10GB,60d"},
	{"parallel", "hosts to work on at a time, and builds", 32},
	{"data-dir", "folder for images and the builder's state", ""},
	{"ssh-config", "SSH client configuration instead of ~/.ssh/config", ""},
	{"lock-wait", "how long to wait while somebody else deploys", time.Duration(0)},
	{"lease", "how long hosts wait for a deployer that falls silent (default 20s)", time.Duration(0)},
	{"json", "print events and results as JSON, one a line", false},
	{"quiet", "print results and errors only", false},
}

// mirrorsKey is the one setting that has no flag.
const mirrorsKey = "mirrors"

// Names lists all settings.
func Names() []string {
	names := []string{mirrorsKey}
	for _, f := range settingFlags {
		names = append(names, f.name)
	}
	return names
}

// NewReader makes the reader of settings. Names of registries hold dots, which
// viper takes for levels otherwise.
func NewReader() *viper.Viper { return viper.NewWithOptions(viper.KeyDelimiter("\x00")) }

// AddFlags declares the flags and binds them.
func AddFlags(flags *pflag.FlagSet, v *viper.Viper) {
	for _, f := range settingFlags {
		switch value := f.value.(type) {
		case string:
			flags.String(f.name, value, f.usage)
		case int:
			flags.Int(f.name, value, f.usage)
		case bool:
			flags.Bool(f.name, value, f.usage)
		case time.Duration:
			flags.Duration(f.name, value, f.usage)
		}
	}
	_ = flags.MarkHidden("lease")                                      // the flag exists
	flags.VisitAll(func(f *pflag.Flag) { _ = v.BindPFlag(f.Name, f) }) // fails only for a nil flag
	v.SetEnvPrefix("DRAY")
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	v.AutomaticEnv()
}

// Read reads the config file, if any, and gathers everything. All
// that is wrong is told at once. flags are those that v is bound to.
func Read(v *viper.Viper, flags *pflag.FlagSet) (*Settings, error) {
	file, err := readConfigFile(v)
	if err != nil {
		return nil, err
	}
	r := &reading{viper: v, flags: flags, file: file}
	s := &Settings{
		Builder: v.GetString("builder"), BuilderIdle: r.duration("builder-idle"),
		Parallel: r.integer("parallel"), DataDir: v.GetString("data-dir"), SSHConfig: v.GetString("ssh-config"),
		LockWait: r.duration("lock-wait"), Lease: r.duration("lease"), JSON: r.boolean("json"), Quiet: r.boolean("quiet"),
		Mirrors: r.mirrors(), Keep: r.keep("keep"),
	}
	if s.Builder == "" {
		s.Builder = os.Getenv("BUILDKIT_HOST")
	}
	s.BuilderTLS = r.builderTLS(s.Builder)
	if s.DataDir == "" {
		if s.DataDir, err = dataDir(); err != nil {
			r.errs = append(r.errs, err)
		}
	}
	return s, errors.Join(r.errs...)
}

// readConfigFile reads the config file into v and returns its path, or "".
func readConfigFile(v *viper.Viper) (string, error) {
	file := NewReader()
	if path := os.Getenv("DRAY_CONFIG"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("reading settings (DRAY_CONFIG): %w", err)
		}
		if filepath.Ext(path) == "" {
			file.SetConfigType("yaml")
		}
		file.SetConfigFile(path)
	} else if dir := configDir(runtime.GOOS); dir != "" {
		file.SetConfigName("config")
		file.AddConfigPath(dir)
	}
	var missing viper.ConfigFileNotFoundError
	switch err := file.ReadInConfig(); {
	case errors.As(err, &missing):
		return "", nil
	case err != nil && file.ConfigFileUsed() != "":
		return "", fmt.Errorf("reading settings from %s: %w", file.ConfigFileUsed(), err)
	case err != nil:
		return "", fmt.Errorf("reading settings: %w", err)
	}
	known := Names()
	for _, key := range sortedKeys(file.AllSettings()) {
		if !slices.Contains(known, key) {
			slices.Sort(known)
			return "", fmt.Errorf("reading settings from %s: there is no setting %q; there are: %s.%s",
				file.ConfigFileUsed(), key, strings.Join(known, ", "), phrase.DidYouMean(key, known))
		}
	}
	return file.ConfigFileUsed(), v.MergeConfigMap(file.AllSettings())
}

// configDir is $XDG_CONFIG_HOME/dray, or its default on a system; "" where there
// is no home. macOS has the one of Linux, as command-line tools do there.
func configDir(system string) string {
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "dray")
	}
	if system == "windows" {
		if dir, err := os.UserConfigDir(); err == nil {
			return filepath.Join(dir, "dray")
		}
		return ""
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".config", "dray")
}

// dataDir is $XDG_DATA_HOME/dray, or its default on this system.
func dataDir() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "dray"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding a folder for images: %w (set DRAY_DATA_DIR)", err)
	}
	return filepath.Join(home, ".local", "share", "dray"), nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
