package connect

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
)

// Verbs are what drayd can be called with that this package does; see Command.
var Verbs = []string{"connect", "install", "uninstall", "service", "start", "stop", "keep"}

// Command runs one of Verbs with its arguments. deploy/ssh relies on their
// form.
func Command(ctx context.Context, verb string, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("drayd "+verb, flag.ContinueOnError)
	digest := flags.String("digest", "", "digest of the bundle")
	from := flags.String("from", "", "folder with the unpacked bundle")
	role := flags.String("role", "", "what the client may do: look, deploy:ENV, approve:ENV, admin, or several with commas between; \"\" is everything")
	purge := flags.Bool("purge", false, "remove state, images and volumes too")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("drayd %s: %w", verb, err)
	}
	switch verb {
	case "connect":
		return Run(ctx, Options{Look: flags.Arg(0) == "look", Role: *role}) // an argument, not a flag: an older drayd ignores it
	case "install":
		done, err := Install(ctx, InstallOptions{Digest: *digest, From: *from})
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(done)
	case "uninstall":
		return Uninstall(ctx, UninstallOptions{Purge: *purge, Kernel: clearKernel})
	case "service":
		return Service(ctx, flags.Arg(0))
	case "start", "stop":
		return Service(ctx, verb)
	case "keep":
		return Keep(ctx)
	}
	return fmt.Errorf("drayd %s: no such command", verb)
}
