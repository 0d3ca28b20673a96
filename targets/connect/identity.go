package connect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"dray/targets/api"
)

// identify finds out who this process serves, from what the kernel and sshd know:
//
//	sshd ── (a shell) ── sudo ── drayd connect
//	 │        │                    └ /proc/self/loginuid: set once, at the login
//	 │        └ its environment: SSH_CONNECTION and SSH_USER_AUTH, as sshd gave them
//	 └ its user: the account
//
// A forced command's client can change none of it. Somebody with a shell there can
// give the process that sshd started another environment, but no other account.
// Sources: proc(5), sshd(8), sshd_config(5) of ExposeAuthInfo.
func identify(role string) api.Identity { return processes{"/proc"}.identify(os.Getpid(), role) }

// processes are those of a /proc.
type processes struct{ root string }

// process is one of them, and its user.
type process struct {
	pid, parent int
	name        string
	uid         uint32
}

func (p processes) identify(pid int, role string) api.Identity {
	line := p.ancestry(pid)
	i := api.Identity{Account: p.account(line), Role: role}
	session := underSSHD(line)
	if session == 0 {
		return i
	}
	environ := p.environ(session)
	i.Address, _, _ = strings.Cut(environ["SSH_CONNECTION"], " ")
	if path := environ["SSH_USER_AUTH"]; path != "" {
		if text, err := readRegular(path); err == nil {
			i.Key, i.Certificate = keyOf(text)
		}
	}
	return i
}

// deepest bounds how far up processes are followed.
const deepest = 64

// ancestry is a process, its parent, and so on up to the first of all.
func (p processes) ancestry(pid int) (line []process) {
	for pid > 0 && len(line) < deepest {
		one, err := p.read(pid)
		if err != nil {
			break
		}
		line = append(line, one)
		pid = one.parent
	}
	return line
}

func (p processes) read(pid int) (process, error) {
	text, err := os.ReadFile(p.path(pid, "status"))
	if err != nil {
		return process{}, err
	}
	one := process{pid: pid}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields := strings.Fields(value)
		switch {
		case len(fields) == 0:
		case key == "Name":
			one.name = fields[0]
		case key == "PPid":
			one.parent, err = strconv.Atoi(fields[0])
		case key == "Uid":
			var uid uint64
			uid, err = strconv.ParseUint(fields[0], 10, 32)
			one.uid = uint32(uid)
		}
		if err != nil {
			return process{}, fmt.Errorf("reading process %d: %w", pid, err)
		}
	}
	return one, nil
}

func (p processes) path(pid int, name string) string {
	return filepath.Join(p.root, strconv.Itoa(pid), name)
}

// noLogin is the login uid of processes that belong to nobody's login.
const noLogin = 1<<32 - 1

// account is who logged in: by the kernel's login uid, else by the nearest process
// that is not root's: sudo is, and what called it is not.
func (p processes) account(line []process) string {
	if len(line) == 0 {
		return ""
	}
	if text, err := os.ReadFile(p.path(line[0].pid, "loginuid")); err == nil {
		if uid, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 32); err == nil && uid != noLogin {
			return accountName(uint32(uid))
		}
	}
	for _, one := range line {
		if one.uid != 0 {
			return accountName(one.uid)
		}
	}
	return accountName(0)
}

func accountName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return number
}

// underSSHD is the process that sshd started for the client; 0 where none did.
func underSSHD(line []process) int {
	for i, one := range line {
		if i > 0 && strings.HasPrefix(one.name, "sshd") {
			return line[i-1].pid
		}
	}
	return 0
}

func (p processes) environ(pid int) map[string]string {
	out := map[string]string{}
	text, err := os.ReadFile(p.path(pid, "environ"))
	if err != nil {
		return out
	}
	for _, pair := range strings.Split(string(text), "\x00") {
		key, value, _ := strings.Cut(pair, "=")
		out[key] = value
	}
	return out
}

const largestAuth = 64 << 10 // bytes

// readRegular reads a file whose path somebody else may have chosen: no link is
// followed, and no pipe waited for.
func readRegular(path string) (_ []byte, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	return io.ReadAll(io.LimitReader(f, largestAuth))
}

// keyOf finds the key that logged in, in what sshd tells of a login: a line
// "publickey TYPE KEY" for each one that was asked for.
func keyOf(text []byte) (key, certificate string) {
	for line := range bytes.Lines(text) {
		method, rest, _ := bytes.Cut(line, []byte(" "))
		if string(method) != "publickey" {
			continue
		}
		public, _, _, _, err := ssh.ParseAuthorizedKey(rest)
		if err != nil {
			continue
		}
		if c, is := public.(*ssh.Certificate); is {
			public, certificate = c.Key, c.KeyId
		}
		return ssh.FingerprintSHA256(public), certificate
	}
	return "", ""
}

const identifyTime = 20 * time.Second // an agent that was just started

// dialAs dials the agent and tells it whose connection this is. An agent that
// knows no roles is used by those who may do everything, as before.
func dialAs(i api.Identity, admin bool) (*net.UnixConn, error) {
	c, err := dialAgent()
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(identifyTime)) // a socket has deadlines
	if err := api.Identify(c, i); err != nil && (!admin || !errors.Is(err, api.ErrNoIdentities)) {
		return nil, errors.Join(err, c.Close())
	}
	_ = c.SetDeadline(time.Time{})
	return c, nil
}
