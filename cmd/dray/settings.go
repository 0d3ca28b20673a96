package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"dray/builder/buildkit"
	"dray/builder/registry"
	"dray/pipeline"
	"dray/pipeline/phrase"
)

// settings are those of the tool, not of a pipeline. They come, strongest
// first, from flags, from DRAY_* variables, and from a config file:
// $DRAY_CONFIG, or config.{yaml,toml,json} in $XDG_CONFIG_HOME/dray.
type settings struct {
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

// newViper makes the reader of settings. Names of registries hold dots, which
// viper takes for levels otherwise.
func newViper() *viper.Viper { return viper.NewWithOptions(viper.KeyDelimiter("\x00")) }

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

// readSettings reads the config file, if any, and gathers everything. All
// that is wrong is told at once. flags are those that v is bound to.
func readSettings(v *viper.Viper, flags *pflag.FlagSet) (*settings, error) {
	file, err := readConfigFile(v)
	if err != nil {
		return nil, err
	}
	r := &reading{viper: v, flags: flags, file: file}
	s := &settings{
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
	file := newViper()
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
	case asError(err, &missing):
		return "", nil
	case err != nil && file.ConfigFileUsed() != "":
		return "", fmt.Errorf("reading settings from %s: %w", file.ConfigFileUsed(), err)
	case err != nil:
		return "", fmt.Errorf("reading settings: %w", err)
	}
	known := []string{mirrorsKey}
	for _, f := range settingFlags {
		known = append(known, f.name)
	}
	for _, key := range sortedNames(file.AllSettings()) {
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

// reading gathers settings and what is wrong with them.
type reading struct {
	viper *viper.Viper
	flags *pflag.FlagSet
	file  string
	errs  []error
}

// value is a setting as text: viper itself takes what it can't read for zero.
func (r *reading) value(name string) string { return fmt.Sprint(r.viper.Get(name)) }

func (r *reading) fault(name, form string) {
	if r.flags.Changed(name) {
		r.errs = append(r.errs, fmt.Errorf("--%s is %q: write %s", name, r.value(name), form))
		return
	}
	where := r.file
	if variable := "DRAY_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")); os.Getenv(variable) != "" {
		where = variable
	}
	r.errs = append(r.errs, fmt.Errorf("reading settings: %s is %q in %s: write %s", name, r.value(name), where, form))
}

func (r *reading) duration(name string) time.Duration {
	d, err := time.ParseDuration(r.value(name))
	if err != nil || d < 0 {
		r.fault(name, "a time such as 90s or 2m")
	}
	return d
}

func (r *reading) integer(name string) int {
	n, err := strconv.Atoi(r.value(name))
	if err != nil || n < 1 {
		r.fault(name, "a number from 1")
	}
	return n
}

func (r *reading) boolean(name string) bool {
	b, err := strconv.ParseBool(r.value(name))
	if err != nil {
		r.fault(name, "true or false")
	}
	return b
}

// keep reads "10GB,60d": a size, a time, or both.
func (r *reading) keep(name string) registry.Keep {
	k, err := parseKeep(r.value(name))
	if err != nil {
		r.fault(name, "a size, a time, or both, such as 10GB,60d")
	}
	return k
}

func parseKeep(text string) (registry.Keep, error) {
	var k registry.Keep
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		age, ageErr := parseAge(part)
		size, sizeErr := pipeline.ParseBytes(part)
		switch {
		case ageErr == nil && age > 0 && k.Age == 0:
			k.Age = age
		case sizeErr == nil && size > 0 && k.Bytes == 0:
			k.Bytes = int64(size)
		default:
			return registry.Keep{}, fmt.Errorf("%q is neither a size nor a time, or the second one", part)
		}
	}
	return k, nil
}

// parseAge reads a time in days or hours; "m" is an amount here.
func parseAge(text string) (time.Duration, error) {
	if hours, ok := strings.CutSuffix(text, "h"); ok {
		n, err := strconv.ParseUint(hours, 10, 16)
		return time.Duration(n) * time.Hour, err
	}
	days, ok := strings.CutSuffix(text, "d")
	if !ok {
		return 0, errors.New("a time is in days (14d) or hours (36h)")
	}
	n, err := strconv.ParseUint(days, 10, 16)
	return time.Duration(n) * 24 * time.Hour, err
}

// builderTLS gathers the files for a builder at tcp://.
func (r *reading) builderTLS(address string) *buildkit.TLS {
	tls := buildkit.TLS{CA: r.viper.GetString("builder-ca"), Cert: r.viper.GetString("builder-cert"), Key: r.viper.GetString("builder-key")}
	switch {
	case tls == buildkit.TLS{}:
		return nil
	case !strings.HasPrefix(address, "tcp://"):
		r.errs = append(r.errs, fmt.Errorf("builder-ca, builder-cert and builder-key are for a builder at tcp://, and the builder is %s", cmp.Or(address, "the embedded one")))
	case (tls.Cert == "") != (tls.Key == ""):
		r.errs = append(r.errs, errors.New("builder-cert and builder-key go together: one of them is missing"))
	}
	return &tls
}

// mirrors come from DRAY_MIRRORS ("docker.io=http://localhost:5000,…") or from
// the config file, where a registry has an address or a list of them.
func (r *reading) mirrors() map[string][]string {
	out := map[string][]string{}
	if text := os.Getenv("DRAY_MIRRORS"); text != "" {
		for entry := range strings.SplitSeq(text, ",") {
			registry, address, _ := strings.Cut(entry, "=")
			address = strings.TrimRight(address, "/")
			if !isAddress(address) {
				r.errs = append(r.errs, fmt.Errorf("reading DRAY_MIRRORS: %q is not REGISTRY=ADDRESS, such as docker.io=https://mirror.example.com", entry))
				continue
			}
			out[registry] = append(out[registry], address)
		}
		return out
	}
	all := r.viper.AllSettings()[mirrorsKey]
	table, ok := all.(map[string]any)
	if all != nil && !ok {
		r.errs = append(r.errs, fmt.Errorf("reading settings: mirrors in %s: write a registry and its mirrors, such as docker.io: [https://mirror.example.com]", r.file))
	}
	for _, registry := range sortedNames(table) {
		addresses, ok := table[registry].([]any)
		if !ok {
			addresses = []any{table[registry]}
		}
		for _, address := range addresses {
			if text := strings.TrimRight(fmt.Sprint(address), "/"); isAddress(text) {
				out[registry] = append(out[registry], text)
				continue
			}
			r.errs = append(r.errs, fmt.Errorf("reading settings: mirrors in %s: %q of %s is no address, such as https://mirror.example.com", r.file, fmt.Sprint(address), registry))
		}
	}
	return out
}

func isAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
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
