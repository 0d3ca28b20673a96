package config

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"dray/pipeline/durable"
	"dray/pipeline/phrase"
)

// LockFileName is the file next to dray.hcl, checked in with it, that records what
// names meant when they were first looked up: which digest an image's tag had,
// which key a host showed.
const LockFileName = "dray.lock.hcl"

const lockHeader = `# Kept by dray; check it in. It pins base images and the keys of hosts.
# A host's key changes here only after "dray host trust".
`

// Lock is a lock file. It is safe for concurrent use.
type Lock struct {
	path  string
	mu    sync.RWMutex
	src   []byte
	file  *hcl.File
	diags hcl.Diagnostics
	bases map[string]string
	hosts map[string]lockedHost
}

type lockedHost struct {
	key      string // as in known_hosts: "ssh-ed25519 AAAA…"
	agentKey []byte
}

var (
	kindLock     = kind{name: LockFileName, named: []string{"base", "host"}}
	kindBase     = kind{name: "a base", args: []string{"digest"}}
	kindLockHost = kind{name: "a host", args: []string{"key", "agent_key"}}
)

// ReadLock reads the lock file of the project in dir. A missing one is empty.
// The lock is nil when the diagnostics have errors.
func ReadLock(dir string) (*Lock, Diagnostics) {
	path := filepath.Join(dir, LockFileName)
	src, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		src, err = []byte(lockHeader), nil
	}
	if err != nil {
		return nil, Diagnostics{{Severity: Error, Summary: "Cannot read " + path, Detail: phrase.Capital(phrase.Cause(err)) + "."}}
	}
	k := &Lock{path: path}
	if ds := k.parse(src); ds.HasErrors() {
		return nil, ds
	}
	return k, nil
}

// Path returns where the file is, as the user would type it.
func (k *Lock) Path() string { return k.path }

// Bases returns the digests of base images by their full name, such as
// "docker.io/library/busybox:latest".
func (k *Lock) Bases() map[string]string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return maps.Clone(k.bases)
}

// HostKey returns a host's public key as known_hosts has it, or "".
func (k *Lock) HostKey(host string) string { return k.host(host).key }

func (k *Lock) host(name string) lockedHost {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.hosts[name]
}

// HostKeys returns the keys of all hosts that have one, by name.
func (k *Lock) HostKeys() map[string]string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	out := map[string]string{}
	for host, h := range k.hosts {
		if h.key != "" {
			out[host] = h.key
		}
	}
	return out
}

// AgentKey returns the ed25519 public key that a host's agent signs with, 32
// bytes, or nil.
func (k *Lock) AgentKey(host string) []byte { return slices.Clone(k.host(host).agentKey) }

// Base returns the digest that a base image is pinned to, or "". The
// reference may be short: "busybox".
func (k *Lock) Base(ref string) string {
	full, err := BaseName(ref)
	if err != nil {
		return ""
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.bases[full]
}

// SetBase pins the digest of a base image.
func (k *Lock) SetBase(ref, digest string) error {
	full, err := BaseName(ref)
	if err != nil {
		return fmt.Errorf("pinning %s: %w", ref, err)
	}
	if !validDigest(digest) {
		return fmt.Errorf("pinning %s: %q is not a digest", ref, digest)
	}
	return k.set("base", full, "digest", digest)
}

// KeepBases pins digests by the names of images, short or whole, in the file as
// it is now.
func (k *Lock) KeepBases(found map[string]string) error {
	return k.Update(func(now *Lock) error {
		for ref, digest := range found {
			if err := now.SetBase(ref, digest); err != nil {
				return err
			}
		}
		return nil
	})
}

// BaseName returns the full name of an image, as the lock file has it:
// "busybox" is "docker.io/library/busybox:latest".
func BaseName(ref string) (string, error) {
	parsed, err := name.ParseReference(ref, name.WeakValidation)
	if err != nil {
		return "", fmt.Errorf("%q is not an image's name", ref)
	}
	return strings.Replace(parsed.Name(), name.DefaultRegistry+"/", "docker.io/", 1), nil
}

// SetHostKey records a host's public key, as known_hosts has it.
func (k *Lock) SetHostKey(host, key string) error {
	key = firstFields(key, 2)
	if !validHostKey(key) {
		return fmt.Errorf("recording the key of %s: %q is not a public key", host, key)
	}
	return k.set("host", host, "key", key)
}

// SetAgentKey records the ed25519 public key of a host's agent.
func (k *Lock) SetAgentKey(host string, key []byte) error {
	if len(key) != agentKeySize {
		return fmt.Errorf("recording the agent's key of %s: it has %d bytes, not %d", host, len(key), agentKeySize)
	}
	return k.set("host", host, "agent_key", base64.StdEncoding.EncodeToString(key))
}

// agentKeySize is the size of an ed25519 public key: RFC 8032, section 5.1.5.
const agentKeySize = 32

// Update changes the file as it is now, which may be more than what k was read
// from: another process may have written it since. change is called with the
// file's present content; what it sets is written, whole or not at all, and k
// has that content from then on. One process at a time does this for a folder.
func (k *Lock) Update(change func(now *Lock) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	folder := folderLock(filepath.Dir(k.path))
	if _, err := folder.TryLockContext(ctx, lockRetry); err != nil {
		return fmt.Errorf("waiting for another dray to write %s: %w", k.path, err)
	}
	defer folder.Close() // unlocks; nothing was written through it
	now, diags := ReadLock(filepath.Dir(k.path))
	if now == nil {
		return fmt.Errorf("reading %s anew: %w", k.path, diags)
	}
	before := now.src
	if err := change(now); err != nil {
		return err
	}
	if !bytes.Equal(before, now.src) {
		if err := now.write(); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.src, k.file, k.bases, k.hosts = now.src, now.file, now.bases, now.hosts
	return nil
}

// A process holds the lock for milliseconds, unless it hangs.
const (
	lockWait  = 10 * time.Second
	lockRetry = 20 * time.Millisecond
)

// write replaces the file, whole or not at all.
func (k *Lock) write() error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := durable.Write(k.path, k.src, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", k.path, err)
	}
	return nil
}

func (k *Lock) parse(src []byte) Diagnostics {
	file, diags := parseFile(k.path, src)
	k.src, k.file, k.diags = src, file, diags
	k.bases, k.hosts = map[string]string{}, map[string]lockedHost{}
	content := k.content(file.Body, kindLock)
	seen := map[string]hcl.Range{}
	for _, b := range content.Blocks {
		key := named(b)
		if first, twice := seen[key]; twice {
			k.fault(b.DefRange, "Duplicate "+key, fmt.Sprintf("It is at line %d already. Keep the right one.", first.Start.Line))
			continue
		}
		seen[key] = b.DefRange
		if b.Type == "base" {
			k.readBase(b)
		} else {
			k.readHost(b)
		}
	}
	return fromHCL(k.diags, map[string]*hcl.File{k.path: file})
}

// content reads what is known of a body. What a newer dray wrote is passed over,
// and kept when the file is written.
func (k *Lock) content(body hcl.Body, of kind) *hcl.BodyContent {
	content, _, diags := body.PartialContent(of.schema())
	k.diags = append(k.diags, diags...)
	return content
}

func (k *Lock) readBase(b *hcl.Block) {
	attr := k.content(b.Body, kindBase).Attributes["digest"]
	if digest, ok := k.text(attr); ok {
		if !validDigest(digest) {
			k.fault(attr.Expr.Range(), "Invalid digest", fmt.Sprintf("%q is not sha256: and 64 hexadecimal digits. Remove the block, and dray looks the image up again.", digest))
			return
		}
		k.bases[b.Labels[0]] = digest
	}
}

func (k *Lock) readHost(b *hcl.Block) {
	attrs := k.content(b.Body, kindLockHost).Attributes
	var h lockedHost
	if key, ok := k.text(attrs["key"]); ok {
		if !validHostKey(key) {
			k.fault(attrs["key"].Expr.Range(), "Invalid host key", "It is a type and base64, such as \"ssh-ed25519 AAAA…\". dray host trust writes it anew.")
		}
		h.key = key
	}
	if text, ok := k.text(attrs["agent_key"]); ok {
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(key) != agentKeySize {
			k.fault(attrs["agent_key"].Expr.Range(), "Invalid agent key", "It is an ed25519 public key: 32 bytes in base64.")
		}
		h.agentKey = key
	}
	k.hosts[b.Labels[0]] = h
}

// text reads a constant string.
func (k *Lock) text(attr *hcl.Attribute) (string, bool) {
	if attr == nil {
		return "", false
	}
	v, diags := attr.Expr.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		k.fault(attr.Expr.Range(), fmt.Sprintf("Wrong type for %q", attr.Name), "Only a text in quotes stands in a lock file.")
		return "", false
	}
	return v.AsString(), true
}

func (k *Lock) fault(at hcl.Range, summary, detail string) {
	k.diags = append(k.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &at})
}

func validDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// validHostKey reports whether s is a type and the base64 of a key of that
// type: RFC 4253, section 6.6.
func validHostKey(s string) bool {
	algorithm, text, ok := strings.Cut(s, " ")
	if !ok || strings.Contains(text, " ") {
		return false
	}
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(blob) < 4+len(algorithm) {
		return false
	}
	size := int(blob[0])<<24 | int(blob[1])<<16 | int(blob[2])<<8 | int(blob[3])
	return size == len(algorithm) && string(blob[4:4+size]) == algorithm
}

func firstFields(s string, n int) string {
	fields := strings.Fields(s)
	return strings.Join(fields[:min(n, len(fields))], " ")
}
