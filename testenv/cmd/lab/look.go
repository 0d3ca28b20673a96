package main

import (
	"fmt"
	"os"
	"os/exec"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func statusCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "List the hosts, what runs on them, and the mirror",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lab, err := s.load()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "HOST\tADDRESS\tSTATE\tPROCESSES")
			for _, h := range lab.Hosts() {
				state, count := "off", 0
				if h.Running() {
					processes, err := h.Processes()
					if err != nil {
						return err
					}
					state, count = "on", len(processes)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", h.Name, h.Address(), state, count)
			}
			if addr := lab.Mirror(); addr != "" {
				fmt.Fprintf(w, "mirror\thttp://%s\ton\t\n", addr)
			}
			return w.Flush()
		},
	}
}

func envCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print the settings that dray needs to reach the lab, for a shell's eval",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lab, err := s.load()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "export DRAY_SSH_CONFIG='%s'\n", lab.SSHConfig)
			if addr := lab.Mirror(); addr != "" {
				fmt.Fprintf(out, "export DRAY_MIRRORS='docker.io=http://%s'\n", addr)
			}
			for _, h := range lab.Hosts() {
				fmt.Fprintf(out, "# %s\t%s\n", h.Name, h.Address())
			}
			return nil
		},
	}
}

func sshCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ssh HOST [COMMAND…]",
		Short: "Log in to a host",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := s.load()
			if err != nil {
				return err
			}
			return attach(exec.CommandContext(cmd.Context(), "ssh", append([]string{"-F", lab.SSHConfig}, args...)...))
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func execCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec HOST COMMAND…",
		Short: "Run a command in a host's namespaces, past its SSH server",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := s.load()
			if err != nil {
				return err
			}
			h, err := find(lab, args[0])
			if err != nil {
				return err
			}
			if !h.Running() {
				return fmt.Errorf("host %s is off", h.Name)
			}
			return attach(h.Command(cmd.Context(), args[1:]...))
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func attach(c *exec.Cmd) error {
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	return c.Run()
}
