package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// settings are those of the tool, not of a pipeline. They come, strongest
// first, from flags, from DRAY_* variables, and from a config file:
// $DRAY_CONFIG, or config.{yaml,toml,json} in $XDG_CONFIG_HOME/dray.
type settings struct {
	Builder     string              // address of a BuildKit; "" is the embedded one
	BuilderIdle time.Duration       // the embedded builder ends after this long without work
	Mirrors     map[string][]string // registry → addresses that are asked first
	Parallel    int                 // hosts at a time
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
	{"builder-idle", "end the embedded builder after this long without work", 10 * time.Minute},
	{"parallel", "hosts to work on at a time", 32},
	{"data-dir", "folder for images and the builder's state", ""},
	{"ssh-config", "SSH client configuration instead of ~/.ssh/config", ""},
	{"lock-wait", "how long to wait while somebody else deploys", time.Duration(0)},
	{"lease", "how long hosts wait for a deployer that falls silent (default 20s)", time.Duration(0)},
	{"json", "print events and results as JSON, one a line", false},
	{"quiet", "print results and errors only", false},
}

// addSettingFlags declares the flags on the root command and binds them.
func addSettingFlags(root *cobra.Command, v *viper.Viper) {
	flags := root.PersistentFlags()
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

// readSettings reads the config file, if any, and gathers everything.
func readSettings(v *viper.Viper) (*settings, error) {
	if file := os.Getenv("DRAY_CONFIG"); file != "" {
		v.SetConfigFile(file)
	} else if dir, err := os.UserConfigDir(); err == nil {
		v.SetConfigName("config")
		v.AddConfigPath(filepath.Join(dir, "dray"))
	}
	var missing viper.ConfigFileNotFoundError
	if err := v.ReadInConfig(); err != nil && !asError(err, &missing) {
		return nil, fmt.Errorf("reading settings: %w", err)
	}
	s := &settings{
		Builder: v.GetString("builder"), BuilderIdle: v.GetDuration("builder-idle"),
		Parallel: v.GetInt("parallel"), DataDir: v.GetString("data-dir"), SSHConfig: v.GetString("ssh-config"),
		LockWait: v.GetDuration("lock-wait"), Lease: v.GetDuration("lease"), JSON: v.GetBool("json"), Quiet: v.GetBool("quiet"),
		Mirrors: map[string][]string{},
	}
	if s.Builder == "" {
		s.Builder = os.Getenv("BUILDKIT_HOST")
	}
	if s.DataDir == "" {
		dir, err := dataDir()
		if err != nil {
			return nil, err
		}
		s.DataDir = dir
	}
	return s, s.readMirrors(v)
}

// readMirrors takes mirrors from the config file ("mirrors:" with a list for
// each registry) or from DRAY_MIRRORS ("docker.io=http://localhost:5000,…").
func (s *settings) readMirrors(v *viper.Viper) error {
	if text := os.Getenv("DRAY_MIRRORS"); text != "" {
		for entry := range strings.SplitSeq(text, ",") {
			registry, address, ok := strings.Cut(entry, "=")
			if !ok {
				return fmt.Errorf("reading DRAY_MIRRORS: %q is not REGISTRY=ADDRESS", entry)
			}
			s.Mirrors[registry] = append(s.Mirrors[registry], address)
		}
		return nil
	}
	// Keys hold dots, which viper takes for levels: read the list whole.
	var entries []struct {
		Registry  string
		Addresses []string
	}
	if err := v.UnmarshalKey("mirrors", &entries); err != nil {
		return fmt.Errorf("reading mirrors in %s: %w", v.ConfigFileUsed(), err)
	}
	for _, e := range entries {
		s.Mirrors[e.Registry] = append(s.Mirrors[e.Registry], e.Addresses...)
	}
	return nil
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
