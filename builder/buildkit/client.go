package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/log"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/moby/buildkit/client"
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer" // docker-container://NAME
	_ "github.com/moby/buildkit/client/connhelper/ssh"             // ssh://[USER@]HOST[:PORT]
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"      // BuildKit's messages need its own codec

	"dray/builder"
	"dray/pipeline/secret"
)

// Options says which builder to use and where images go.
type Options struct {
	Address  string   // tcp://, unix://, ssh://, docker-container://; the embedded builder when empty
	TLS      *TLS     // for tcp://
	Images   string   // absolute folder of the image store
	Embedded Embedded // how the embedded builder runs

	// Secrets is told of every value that a build is given, so that nothing that
	// is printed afterwards shows it; nil hides it from the build's progress only.
	Secrets *secret.Redactor
}

// TLS names the files that secure a connection to tcp://, in PEM.
type TLS struct {
	CA         string // of the builder; the system's when empty
	ServerName string // in the builder's certificate; the address's host when empty
	Cert, Key  string // of this client, both or none
}

// Client is a connection to a builder. It is safe for concurrent use; the
// embedded builder does not end while a Client is open.
type Client struct {
	conn     *client.Client
	embedded bool
	images   content.Store
	dir      string
	auth     *configfile.ConfigFile
	secrets  *secret.Redactor
}

var _ builder.Builder = (*Client)(nil)

// dialTimeout is how long a builder at an address has to answer.
const dialTimeout = 20 * time.Second

// Connect returns a connection to the builder at o.Address, or to the embedded
// one, which it starts when it does not run.
func Connect(ctx context.Context, o Options) (*Client, error) {
	if o.Address != "" {
		return Dial(ctx, o)
	}
	return Ensure(ctx, o)
}

// Dial connects to the builder at o.Address.
func Dial(ctx context.Context, o Options) (*Client, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, fmt.Errorf("no answer within %s", dialTimeout))
	defer cancel()
	conn, err := handshake(ctx, o.Address, o.TLS.options(o.Address)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the builder at %s: %w", o.Address, err)
	}
	return newClient(ctx, conn, o, false)
}

// Ensure connects to the embedded builder, which it starts when it does not
// run. On other systems than Linux it returns an error that says what to do.
func Ensure(ctx context.Context, o Options) (*Client, error) {
	conn, err := ensure(ctx, o.Embedded)
	if err != nil {
		return nil, err
	}
	return newClient(ctx, conn, o, true)
}

func newClient(ctx context.Context, conn *client.Client, o Options, embedded bool) (*Client, error) {
	images, err := openImages(ctx, o.Images)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &Client{
		conn: conn, embedded: embedded, images: images, dir: o.Images,
		auth: config.LoadDefaultConfigFile(io.Discard), secrets: o.Secrets,
	}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

func (t *TLS) options(address string) []client.ClientOpt {
	if t == nil {
		return nil
	}
	name := t.ServerName
	if u, err := url.Parse(address); name == "" && err == nil {
		name = u.Hostname()
	}
	opts := []client.ClientOpt{client.WithServerConfigSystem(name)}
	if t.CA != "" {
		opts = []client.ClientOpt{client.WithServerConfig(name, t.CA)}
	}
	if t.Cert != "" || t.Key != "" {
		opts = append(opts, client.WithCredentials(t.Cert, t.Key))
	}
	return opts
}

// handshake connects and waits for one answer.
func handshake(ctx context.Context, address string, opts ...client.ClientOpt) (*client.Client, error) {
	conn, err := client.New(ctx, address, opts...)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Info(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// openImages opens the image store. BuildKit and containerd log through one
// global logger, to stderr; on this side nothing that they say below an error
// is for the person who builds.
func openImages(ctx context.Context, dir string) (content.Store, error) {
	if err := log.SetLevel("error"); err != nil {
		return nil, err
	}
	if dir == "" {
		return nil, errors.New("no folder for images is set")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	store, err := local.NewStore(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	if err := removeOldIngests(ctx, store); err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	return store, nil
}
