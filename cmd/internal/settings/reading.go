package settings

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"dray/builder/buildkit"
	"dray/builder/registry"
	"dray/pipeline"
)

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
	for _, registry := range sortedKeys(table) {
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
