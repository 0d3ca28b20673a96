package shim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/moby/moby/api/pkg/stdcopy"
)

// Start starts a shim for the container whose run folder is given, which
// holds its configuration and the OCI bundle, and returns the pid of the
// created container's pid 1. The shim's own end must be waited for with the
// returned command.
func Start(ctx context.Context, argv []string, folder string) (int, *exec.Cmd, error) {
	errorLog, err := os.OpenFile(filepath.Join(folder, "shim.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, nil, err
	}
	defer errorLog.Close()
	out, in, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer out.Close()
	cmd := exec.Command(argv[0], append(append([]string{}, argv[1:]...), folder)...)
	cmd.Stdout, cmd.Stderr = in, errorLog
	cmd.Env = []string{"GOMAXPROCS=2", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = in.Close()
	if err != nil {
		return 0, nil, fmt.Errorf("starting the shim: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { // with the OCI runtime, which is in its group
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	line, err := io.ReadAll(out)
	stop()
	var r ready
	if err == nil {
		err = json.Unmarshal(bytes.TrimSpace(line), &r)
	}
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil:
		err = fmt.Errorf("the shim ended before it was ready: %w", err)
	case r.Error != "":
		err = errors.New(r.Error)
	default:
		return r.Pid, cmd, nil
	}
	_ = cmd.Wait() // it ends by itself, or was killed above
	return 0, nil, err
}

// dial connects to the shim of a container. The path goes through a
// descriptor of the folder: a socket's address holds only 107 bytes.
func dial(folder string) (*net.UnixConn, error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	name := filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), socketName)
	return net.DialUnix("unix", nil, &net.UnixAddr{Name: name, Net: "unix"})
}

func call(folder string, r request) (*net.UnixConn, error) {
	conn, err := dial(folder)
	if err != nil {
		return nil, err
	}
	line, err := json.Marshal(r)
	if err == nil {
		_, err = conn.Write(append(line, '\n'))
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Watch returns a connection on which nothing comes until the shim ends.
func Watch(folder string) (net.Conn, error) {
	conn, err := call(folder, request{Op: opWatch})
	if err != nil {
		return nil, fmt.Errorf("watching the shim: %w", err)
	}
	return conn, nil
}

// Resize sets the size of a container's terminal.
func Resize(folder string, rows, cols uint16) error {
	conn, err := call(folder, request{Op: opResize, Rows: rows, Cols: cols})
	if err != nil {
		return fmt.Errorf("resizing: %w", err)
	}
	defer conn.Close()
	message, err := io.ReadAll(conn)
	if err == nil && len(message) > 0 {
		err = errors.New(string(message))
	}
	return err
}

// An Attachment is a live connection with a container's streams.
type Attachment struct {
	conn   *net.UnixConn
	output *bufio.Reader
}

// Attach connects with the streams that are asked for. When it returns, no
// later output is missed.
func Attach(folder string, stdin, stdout, stderr bool) (*Attachment, error) {
	conn, err := call(folder, request{Op: opAttach, Stdin: stdin, Stdout: stdout, Stderr: stderr})
	if err != nil {
		return nil, fmt.Errorf("attaching: %w", err)
	}
	a := &Attachment{conn: conn, output: bufio.NewReaderSize(conn, pieceSize)}
	if _, err := a.output.ReadByte(); err != nil {
		return nil, errors.Join(fmt.Errorf("attaching: %w", err), conn.Close())
	}
	return a, nil
}

// Write sends input.
func (a *Attachment) Write(p []byte) (int, error) { return a.conn.Write(p) }

// CloseWrite ends the input.
func (a *Attachment) CloseWrite() error { return a.conn.CloseWrite() }

// Close detaches.
func (a *Attachment) Close() error { return a.conn.Close() }

// Copy writes output to stdout and stderr, of which either may be nil, until
// the container ends.
func (a *Attachment) Copy(stdout, stderr io.Writer) error {
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	_, err := stdcopy.StdCopy(stdout, stderr, a.output)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("passing output on: %w", err)
	}
	return nil
}
