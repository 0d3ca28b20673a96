package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"dray/testenv"
	"dray/testenv/mirror"
)

func upCommand(s *settings) *cobra.Command {
	var o testenv.Options
	var diskMiB int64
	var init string
	var mirrored bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring up the lab, or what is missing of it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			began := time.Now()
			o.Name, o.Dir, o.DiskSize, o.Init = s.name, s.dir, diskMiB<<20, testenv.Init(init)
			lab, err := testenv.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			if mirrored {
				self, err := os.Executable()
				if err != nil {
					return err
				}
				if _, err := lab.StartMirror(cmd.Context(), self, "mirror"); err != nil {
					return err
				}
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "lab %s is up: %d hosts, %.2f s\n", lab.Name, len(lab.Hosts()), time.Since(began).Seconds())
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Hosts, "hosts", []string{"d1", "t1", "p1", "p2"}, "the hosts' names")
	f.StringVar(&o.Bastion, "bastion", "", "name of one host more, to jump through")
	f.BoolVar(&o.Behind, "behind", false, "let the other hosts in only through the bastion")
	f.Int64Var(&diskMiB, "disk", 0, "size in MiB of a disk of its own for each host (0: a folder)")
	f.StringSliceVar(&o.Packages, "packages", nil, "Debian packages that the hosts have and this machine need not")
	f.BoolVar(&o.Docker, "docker", false, "Docker's engine runs on the hosts, as Debian has it")
	f.BoolVar(&o.Firewall, "firewall", false, "ufw is on, and lets in SSH alone")
	f.StringVar(&init, "init", string(testenv.Busybox), "what process 1 of a host is: busybox or systemd")
	f.BoolVar(&mirrored, "mirror", true, "serve base images from this machine")
	return cmd
}

func downCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove every trace of the lab",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lock, err := testenv.Lock(s.dir, s.name)
			if errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintf(cmd.ErrOrStderr(), "lab %s is not up\n", s.name)
				return nil
			}
			if err != nil {
				return err
			}
			defer lock.Close()
			lab, err := s.load()
			if err != nil {
				return err
			}
			return lab.Close(cmd.Context())
		},
	}
}

func sweepCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "sweep",
		Short: "Remove labs of tests that were killed",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return testenv.Sweep(cmd.Context(), s.dir) },
	}
}

// mirrorCommand is what "up" starts in the background: it prints its address
// and serves until it is ended.
func mirrorCommand() *cobra.Command {
	var dir string
	var now []string
	cmd := &cobra.Command{
		Use:   "mirror",
		Short: "Serve stand-ins for base images on the loopback, in the foreground",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listener, err := listen()
			if err != nil {
				return err
			}
			m, err := mirror.Serve(cmd.Context(), dir, listener)
			if err != nil {
				return err
			}
			if len(now) > 0 {
				return errors.Join(m.Make(cmd.Context(), now...), m.Close())
			}
			fmt.Fprintln(cmd.OutOrStdout(), m.Addr())
			<-cmd.Context().Done()
			return m.Close()
		},
	}
	cmd.Flags().StringSliceVar(&now, "make", nil, "make these into the cache (busybox:latest, golang:1.26, debian:bookworm-slim) and end")
	cmd.Flags().StringVar(&dir, "cache", mirror.CacheDir(), "folder in which images are kept once made")
	return cmd
}

// usualPort is the mirror's, so that what was told of it stays true when the
// lab was down and is up again.
const usualPort = "127.0.0.1:5210"

func listen() (net.Listener, error) {
	if l, err := net.Listen("tcp", usualPort); err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0") // taken: another lab's mirror
}
