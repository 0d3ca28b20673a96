package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dray/cmd/internal/ui"
	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/pipeline/config"
	"dray/pipeline/event"
	"dray/targets/api"
)

func hostCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "host", Short: "Trust, prepare and check hosts"}
	cmd.AddCommand(hostTrustCommand(a), hostSetupCommand(a), hostCheckCommand(a))
	return cmd
}

func hostTrustCommand(a *app) *cobra.Command {
	var yes, replace bool
	cmd := &cobra.Command{
		Use:   "trust HOST…",
		Short: "Confirm hosts' keys and write them to dray.lock.hcl",
		Long: `trust asks hosts for their keys and shows the fingerprints. Compare them with
the hosts' consoles (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub). What is
confirmed goes into dray.lock.hcl, which belongs into the repository.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			for _, name := range args {
				if err := p.trust(cmd.Context(), name, yes, replace); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&replace, "replace", false, "take a new key in place of the one in dray.lock.hcl")
	return cmd
}

func (p *project) trust(ctx context.Context, name string, yes, replace bool) error {
	host, err := p.host(name)
	if err != nil {
		return err
	}
	keys, err := p.sessions.Dialer.ScanHostKeys(ctx, p.sshOptions(*host))
	if err != nil {
		return err
	}
	key := keys[0]
	fmt.Fprintf(p.app.errOut, "%s (%s) shows %s %s\n", name, key.Address, key.Type(), key.Fingerprint())
	switch known := p.lock.HostKey(name); {
	case known == key.Text():
		return p.trusted(key, name+" was trusted already")
	case known != "" && !replace:
		return &exitError{code: exitRefused, failure: failure(
			fmt.Sprintf("that is not the key of %s in %s: someone may be listening in between, or the host was set up anew", name, filepath.Base(p.lock.Path())),
			"compare it with the host's console, then: dray host trust --replace "+name)}
	}
	if !yes {
		said := ui.Unanswered
		if p.app.asker.CanAsk() {
			if said, err = p.app.asker.Confirm(ctx, "Is that the host's key? Type yes to trust it: ", "yes", "y", name); err != nil {
				return err
			}
		}
		if said != ui.Yes {
			return distrusted(name, said)
		}
	}
	if err := p.lock.Update(func(now *config.Lock) error { return now.SetHostKey(name, key.Text()) }); err != nil {
		return err
	}
	return p.trusted(key, name+" is trusted")
}

// distrusted is the failure of a key that nobody confirmed.
func distrusted(name string, said ui.Reply) error {
	what := "the key of " + name + " was not confirmed"
	if said == ui.No {
		what += ": " + noAtTerminal
	}
	return &exitError{code: exitRefused, failure: failure(what,
		"dray host trust "+name+" at a terminal, or dray host trust --yes "+name+" once you have compared it")}
}

// trusted says that a host's key is in the lock file.
func (p *project) trusted(key ssh.HostKey, what string) error {
	result := map[string]string{"host": key.Host, "key": key.Type(), "fingerprint": key.Fingerprint()}
	return p.app.result(result, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: its key is in %s.\n", what, filepath.Base(p.lock.Path()))
		return err
	})
}

func (p *project) host(name string) (*pipeline.Host, error) {
	if h := p.spec.Hosts[name]; h != nil {
		return h, nil
	}
	return nil, &pipeline.UnknownError{Kind: "host", Name: name, Declared: sortedNames(p.spec.Hosts)}
}

func hostSetupCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "setup [HOST…]",
		Short: "Bring dray's agent to hosts, and record the keys that the agents sign with",
		Long: `setup does for hosts what the first deployment would do, and writes the public
key of each agent to dray.lock.hcl. Promotion then takes evidence only from
these keys.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.checkHosts(cmd.Context(), args, true) },
	}
}

func hostCheckCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check [HOST…]",
		Short: "See whether hosts can be reached and used",
		Long: `check connects to hosts as a deployment would, and shows what each has: system,
processors, memory, disk, and which limits it can enforce. It changes nothing
there: of a host without dray's agent it says that it can be reached; dray host
setup brings the agent.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.checkHosts(cmd.Context(), args, false) },
	}
}

// checkHosts connects to hosts side by side and says what each is.
func (a *app) checkHosts(ctx context.Context, names []string, record bool) error {
	open := a.openToLook
	if record {
		open = a.open
	}
	p, err := open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	if len(names) == 0 {
		names = sortedNames(p.spec.Hosts)
	}
	hosts := make([]*pipeline.Host, len(names))
	for i, name := range names {
		if hosts[i], err = p.host(name); err != nil {
			return err
		}
	}
	reports := make([]ui.HostReport, len(hosts))
	var group sync.WaitGroup
	for i, host := range hosts {
		group.Go(func() { reports[i] = p.checkHost(ctx, host) })
	}
	group.Wait()
	if record {
		if err := p.recordAll(reports); err != nil {
			return err
		}
	}
	if err := results(a, reports, func(w io.Writer) error { return ui.PrintHosts(w, reports) }); err != nil {
		return err
	}
	return unusable(reports)
}

// unusable fails with what helps first, where hosts can't be used. What helps
// each of them stands beside it.
func unusable(reports []ui.HostReport) error {
	i := slices.IndexFunc(reports, func(r ui.HostReport) bool { return r.Error != "" })
	if i < 0 {
		return nil
	}
	f := failure("not every host can be used", reports[i].Next)
	f.Conclusion = ""
	return &exitError{code: exitFailed, failure: f}
}

func (p *project) checkHost(ctx context.Context, host *pipeline.Host) ui.HostReport {
	r := ui.HostReport{Name: host.Name}
	sink := event.With(p.app.view, func(e *event.Event) { e.Host = host.Name })
	connected, err := p.sessions.Connect(ctx, *host, sink)
	if err == nil {
		r.Host, err = connected.Client.Host(ctx)
	}
	switch {
	case errors.Is(err, ssh.ErrAbsent):
		r.Absent = true
	case err != nil:
		e, _ := explain(err)
		r.Error, r.Next = e.Text, e.Next
	}
	return r
}

func (p *project) recordAll(reports []ui.HostReport) error {
	return p.lock.Update(func(now *config.Lock) error {
		for _, r := range reports {
			if r.Host == nil {
				continue
			}
			if err := record(now, r.Name, r.Host); err != nil {
				return err
			}
		}
		return nil
	})
}

// record keeps the key that a host's agent signs with, the first time that it
// is seen. Another key than the recorded one is a fault.
func record(lock *config.Lock, host string, facts *api.Host) error {
	switch known := lock.AgentKey(host); {
	case known == nil && len(facts.PublicKey) > 0:
		return lock.SetAgentKey(host, facts.PublicKey)
	case known != nil && !bytes.Equal(known, facts.PublicKey):
		return fmt.Errorf("%s: its agent signs with another key than the one in %s; if the host was set up anew, remove its agent_key there", host, config.LockFileName)
	}
	return nil
}

// passphrase asks for the passphrase of a key at the terminal.
func (a *app) passphrase(ctx context.Context, keyFile string) ([]byte, error) {
	if !a.asker.CanAsk() {
		return nil, errors.New("it has a passphrase and there is no terminal to ask for it; add it to the agent: ssh-add " + keyFile)
	}
	return a.asker.Hidden(ctx, "Passphrase of "+keyFile+": ")
}

// showDiagnostics prints what is wrong with the file.
func (a *app) showDiagnostics(diags config.Diagnostics) {
	if a.settings.JSON {
		_ = diags.RenderJSON(a.out) // there is nobody left to tell
		return
	}
	width, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil {
		width = 100
	}
	_ = diags.Render(a.errOut, width, ui.InColor(os.Stderr)) // as above
}
