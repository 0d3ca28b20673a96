package buildkit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/sirupsen/logrus"
)

const (
	startTimeout = 30 * time.Second      // a server must answer within this
	pollEvery    = 20 * time.Millisecond // while another process starts it
	maxLog       = 4 << 20               // a larger log is begun anew, the old one kept beside it
)

// ensure returns a connection to this user's builder. It starts the server
// when there is none, and replaces one of another version or with other
// settings when nobody uses it.
func ensure(ctx context.Context, o Embedded) (*client.Client, error) {
	o = o.withDefaults()
	fingerprint, err := o.fingerprint()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the builder did not answer within %s; its log is %s", startTimeout, o.LogFile()))
	defer cancel()
	for {
		c, err := connect(ctx, o, fingerprint)
		if err == nil {
			return c, nil
		}
		// One process starts the server; the others, and those that come while
		// an old one still ends, wait.
		if free, lockErr := lockFree(o); lockErr != nil {
			return nil, fmt.Errorf("starting the builder: %w", lockErr)
		} else if free {
			if err := start(ctx, o); err != nil && !errors.Is(err, ErrBusy) {
				return nil, fmt.Errorf("starting the builder: %w", err)
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connecting to the builder: %w", errors.Join(context.Cause(ctx), err))
		case <-time.After(pollEvery):
		}
	}
}

// lockFree says whether no server runs.
func lockFree(o Embedded) (bool, error) {
	var u undo
	err := lock(o, &u)
	if errors.Is(err, ErrBusy) {
		return false, nil
	}
	return err == nil, errors.Join(err, u.run())
}

var errReplaced = errors.New("the builder that ran had other settings")

// connect dials the server that runs. One that differs from what is wanted is
// asked to stop if it is idle; when it is in use, it serves this build too.
func connect(ctx context.Context, o Embedded, fingerprint string) (*client.Client, error) {
	id, err := o.readIdentity()
	if err != nil {
		return nil, err
	}
	if id.Fingerprint != fingerprint {
		switch err := stop(ctx, o, true); {
		case err == nil:
			return nil, errReplaced
		case !errors.Is(err, errInUse):
			return nil, err
		}
	}
	return handshake(ctx, "unix://"+o.socket())
}

// start runs the server as a process of its own, which outlives this one, and
// waits until it answers or says why it can't.
func start(ctx context.Context, o Embedded) error {
	if len(o.Command) == 0 {
		return errors.New("no command to start it is set")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	log, err := openLog(o.LogFile())
	if err != nil {
		return err
	}
	defer log.Close()
	settings, err := json.Marshal(o)
	if err != nil {
		return err
	}
	cmd := exec.Command(o.Command[0], o.Command[1:]...) // not CommandContext: it stays
	cmd.Dir = "/"
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return launch(ctx, cmd, settings)
}

// launch starts cmd, gives it its settings and reads its one line of answer.
func launch(ctx context.Context, cmd *exec.Cmd, settings []byte) error {
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	undo := context.AfterFunc(ctx, func() { out.Close() })
	defer undo()
	// One that has ended by now takes no settings; how it ended is what matters.
	_, err = in.Write(settings)
	writeErr := errors.Join(err, in.Close())
	line, readErr := bufio.NewReader(out).ReadBytes('\n')
	var answer startAnswer
	if err := json.Unmarshal(line, &answer); err != nil {
		exit := cmd.Wait() // it has closed its stdout without an answer, so it ends
		return fmt.Errorf("it ended without a word (%w); see its log", errors.Join(exit, context.Cause(ctx), writeErr, readErr))
	}
	switch {
	case answer.Busy:
		return errors.Join(ErrBusy, ignoreExit(cmd.Wait()))
	case answer.Error != "":
		return errors.Join(errors.New(answer.Error), ignoreExit(cmd.Wait()))
	}
	return cmd.Process.Release()
}

// ignoreExit drops a child's exit status, which its answer has explained.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// startAnswer is the server's one line on stdout.
type startAnswer struct {
	Ready bool   `json:"ready,omitempty"`
	Busy  bool   `json:"busy,omitempty"`
	Error string `json:"error,omitempty"`
}

// ServeDetached is what the process that Ensure starts must run: it reads an
// Embedded as JSON from in, says on out that it is ready or why not, in one
// line, closes out and serves until it is idle. It logs to stderr.
func ServeDetached(ctx context.Context, in io.Reader, out io.WriteCloser) error {
	answer := func(a startAnswer) {
		// The one who asked may be gone; the server is of use to others.
		_ = json.NewEncoder(out).Encode(a)
		_ = out.Close()
	}
	var o Embedded
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		answer(startAnswer{Error: "reading the settings: " + err.Error()})
		return err
	}
	logrus.SetOutput(os.Stderr)
	logrus.SetLevel(logrus.WarnLevel)
	level := slog.LevelInfo
	if o.Debug {
		logrus.SetLevel(logrus.DebugLevel)
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ready := false
	err := Serve(ctx, o, log, func() { ready = true; answer(startAnswer{Ready: true}) })
	if err != nil && !ready {
		answer(startAnswer{Busy: errors.Is(err, ErrBusy), Error: err.Error()})
	}
	if errors.Is(err, ErrBusy) {
		return nil
	}
	return err
}

func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, filepath.Join(filepath.Dir(path), "server.old.log")); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}
