package testenv

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"

	"dray/testenv/inside"
)

// Init says what a host's process 1 is.
type Init string

// Inits.
const (
	Busybox Init = inside.InitBusybox // small; runs /etc/rc2.d/S* at boot
	Systemd Init = inside.InitSystemd // the machine's systemd
)

// User is the login with passwordless sudo on every host; root has the same key.
const User = "deploy"

// Options say what a lab is made of. The zero value is one plain host, d1.
type Options struct {
	Name  string   // of the lab; New makes one up
	Hosts []string // names, in order of address; default d1

	// Bastion names one further host, whose sshd forwards: a jump host. For
	// each host H the lab's ssh_config then has an H.jump that goes through it.
	Bastion string
	Behind  bool // the other hosts let in only who comes through the bastion

	// DiskSize gives each host a disk of that many bytes (an ext4 image that
	// takes space as it fills) for FillDisk; 0: a folder of the machine's disk.
	DiskSize int64

	// Packages names packages of Debian's that the hosts have and the machine
	// need not have. Their services are not started.
	Packages []string

	// Other people's software that runs on each host from boot on, under
	// Busybox: Docker's engine as Debian has it, and ufw, which lets in SSH alone.
	Docker, Firewall bool

	Init   Init         // default Busybox
	Dir    string       // state folder; default StateDir()
	Logger *slog.Logger // default: discards
}

// Names gives n host names with that prefix: p1, p2, …
func Names(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", prefix, i+1)
	}
	return names
}

// StateDir is where labs keep their folders: $XDG_STATE_HOME/dray-lab, or
// /var/lib/dray-lab.
func StateDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "dray-lab")
	}
	return "/var/lib/dray-lab"
}

// CacheDir is where the lab keeps what is dear to make: images of the mirror.
func CacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil { // neither $XDG_CACHE_HOME nor $HOME: a bare service
		return "/var/cache/dray-lab"
	}
	return filepath.Join(dir, "dray-lab")
}

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

func (o *Options) complete() error {
	if o.Dir == "" {
		o.Dir = StateDir()
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Init == "" {
		o.Init = Busybox
	}
	if len(o.Hosts) == 0 {
		o.Hosts = []string{"d1"}
	}
	if o.Behind && o.Bastion == "" {
		return errors.New("hosts are to be behind a bastion, and there is none")
	}
	if len(o.services()) > 0 && o.Init != Busybox {
		return errors.New("a host runs Docker or ufw under busybox init alone")
	}
	seen := map[string]bool{}
	for _, name := range append([]string{o.Name}, o.all()...) {
		if !validName.MatchString(name) {
			return fmt.Errorf("%q is not a name: use lower-case letters, digits and dashes", name)
		}
	}
	for _, name := range o.all() {
		if seen[name] {
			return fmt.Errorf("two hosts are named %q", name)
		}
		seen[name] = true
	}
	if len(o.all()) > maxHosts {
		return fmt.Errorf("%d hosts: a lab has %d addresses", len(o.all()), maxHosts)
	}
	return nil
}

func (o *Options) all() []string {
	if o.Bastion == "" {
		return o.Hosts
	}
	return append(o.Hosts[:len(o.Hosts):len(o.Hosts)], o.Bastion)
}
