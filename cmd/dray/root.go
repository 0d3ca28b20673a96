package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"os/signal"
	"os/user"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/log"
	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"dray/cmd/internal/settings"
	"dray/cmd/internal/ui"
	"dray/cmd/internal/usage"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/secret"
	"dray/targets/api"
)

// app is what all verbs share.
type app struct {
	viper    *viper.Viper
	settings *settings.Settings
	view     *ui.Screen
	asker    *ui.Asker
	out      *ui.Output       // results
	errOut   *ui.Output       // failures
	secrets  *secret.Redactor // what neither they nor the view may show

	file     string      // --file
	vars     []string    // --var
	varFiles []string    // --var-file
	verb     string      // "dray ship", for leases and history
	changes  atomic.Bool // the verb has something to leave in a safe state
}

// Main runs the command line and returns its exit code.
func Main() int {
	_ = log.SetLevel("error")    // containerd's libraries warn of what is no fault here; the level exists
	stdlog.SetOutput(io.Discard) // only libraries write there, beside the errors that they return
	a := &app{viper: settings.NewReader(), secrets: secret.NewRedactor()}
	a.out, a.errOut, a.view = ui.NewOutput(os.Stdout, a.secrets), ui.NewOutput(os.Stderr, a.secrets), ui.NewScreen(a.secrets)
	a.asker = ui.NewAsker(a.view)
	ctx, stop := a.interruptible()
	defer stop()
	root := newRoot(a)
	err := root.ExecuteContext(ctx)
	a.view.Close()
	defer a.errOut.Flush()
	defer a.out.Flush()
	if err == nil {
		return exitDone
	}
	failure, code := explain(err)
	if cause := context.Cause(ctx); cause == errInterrupted && code == exitFailed { //nolint:errorlint // the cause is set by us
		code = exitInterrupted
	}
	if failure.Text != "" && (code == exitFailed || code == exitInterrupted) && a.changes.Load() {
		failure.Conclusion = cmp.Or(failure.Conclusion, "Nothing was changed.")
	}
	a.fail(failure, code)
	return code
}

// stopWithin is how long a terminal that takes no output may keep the second
// Ctrl-C from ending the program.
const stopWithin = time.Second

// interruptible gives a context that the first Ctrl-C cancels: what is under
// way ends in a safe state. The second ends the program at once.
func (a *app) interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-signals; !ok {
			return
		}
		cancel(errInterrupted) // before anything is told: nothing may keep it from that
		if a.changes.Load() {
			a.view.Emit(event.Event{
				Version: event.Version, Time: time.Now(), Type: event.Notice,
				Text: "Interrupted: what has begun goes back. Once more stops at once and leaves that to the hosts.",
			})
		}
		if _, ok := <-signals; ok {
			time.AfterFunc(stopWithin, func() { os.Exit(exitInterrupted) })
			a.asker.Restore()
			a.view.Close()
			text := "✗ stopped"
			if a.changes.Load() {
				text += "; what was under way goes back by itself when its lease has ended\n  Next: dray status"
			}
			fmt.Fprintln(os.Stderr, text)
			os.Exit(exitInterrupted)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel(nil)
	}
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "dray",
		Short:         "Build an image once and carry the same bytes from dev to test to prod",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.start(cmd)
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.file, "file", "", "the project's file (default dray.hcl, with *.dray.hcl beside it)")
	flags.StringArrayVar(&a.vars, "var", nil, "set a variable: NAME=VALUE")
	flags.StringArrayVar(&a.varFiles, "var-file", nil, "set variables from a file")
	settings.AddFlags(flags, a.viper)
	root.AddGroup(
		&cobra.Group{ID: "file", Title: "The file:"},
		&cobra.Group{ID: "ship", Title: "From source to prod:"},
		&cobra.Group{ID: "look", Title: "Look and operate:"},
		&cobra.Group{ID: "more", Title: "Hosts and tools:"},
	)
	addVerbs(root, a)
	root.SetCompletionCommandGroupID("more")
	usage.Polish(root, a.completeArgs)
	return root
}

// addVerbs adds the verbs in the order in which help shows them.
func addVerbs(root *cobra.Command, a *app) {
	groups := []struct {
		id    string
		verbs []*cobra.Command
	}{
		{"file", []*cobra.Command{initCommand(a), validateCommand(a), fmtCommand(a), configCommand(a)}},
		{"ship", []*cobra.Command{
			buildCommand(a), updateCommand(a), pushCommand(a), planCommand(a), deployCommand(a), promoteCommand(a), shipCommand(a),
			rollbackCommand(a), approveCommand(a), recoverCommand(a), downCommand(a),
		}},
		{"look", []*cobra.Command{
			statusCommand(a), psCommand(a), logsCommand(a), execCommand(a), runCommand(a), statsCommand(a), eventsCommand(a), historyCommand(a), taskCommand(a),
		}},
		{"more", []*cobra.Command{
			hostCommand(a), lockCommand(a), unlockCommand(a), pruneCommand(a), builderCommand(a), registryCommand(a), versionCommand(a),
		}},
	}
	for _, g := range groups {
		for _, c := range g.verbs {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
}

// start reads the settings and opens the view, before any verb runs.
func (a *app) start(cmd *cobra.Command) error {
	s, err := settings.Read(a.viper, cmd.Root().PersistentFlags())
	if err != nil {
		return err
	}
	a.settings = s
	a.verb = cmd.CommandPath()
	a.view.Begin(ui.NewView(os.Stdout, os.Stderr, s.JSON, s.Quiet))
	return nil
}

// fail shows why the program ends.
func (a *app) fail(failure event.Event, code int) {
	if failure.Text == "" {
		return // it was shown already
	}
	if a.settings != nil && a.settings.JSON || a.settings == nil && a.viper.GetBool("json") {
		failure.Code = code
		a.emit(failure)
		return
	}
	color := ui.InColor(os.Stderr)
	ui.PrintFailure(a.errOut, failure, color)
}

// actor says who types.
func (a *app) actor() pipeline.Actor {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	machine, _ := os.Hostname() // an unknown name stays empty
	return pipeline.Actor{User: name, Machine: machine, Command: a.verb}
}

// environ is this process's environment.
func (a *app) environ() []string { return os.Environ() }

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := map[string]any{"version": api.BuildVersion, "api": api.Version}
			return a.result(v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "dray %s (host API %d)\n", api.BuildVersion, api.Version)
				return err
			})
		},
	}
}
