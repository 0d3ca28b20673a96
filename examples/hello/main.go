// Command hello says how it came to run, then waits to be stopped.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	name, _ := os.Hostname()
	fmt.Printf(`Hello from a container that dray started.

To get here:
 1. dray read dray.hcl and checked all of it.
 2. BuildKit, inside dray, compiled this program and made an image of one layer.
 3. dray connected to the host over SSH and found its agent, or brought it.
 4. The agent fetched the layer that it lacked, through that connection, and
    checked its digest: no registry took part.
 5. The agent made the container and started it: this is process %d, on a host
    of its own called %s.

What this process can see of its isolation:
%s
Stop it with: dray down dev
`, os.Getpid(), name, isolation())

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
	fmt.Println("Goodbye.")
}

// isolation is what the kernel says of this process.
func isolation() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "  " + err.Error() + "\n"
	}
	var out strings.Builder
	for line := range strings.Lines(string(status)) {
		for _, field := range []string{"NoNewPrivs:", "Seccomp:", "CapBnd:"} {
			if strings.HasPrefix(line, field) {
				out.WriteString("  " + line)
			}
		}
	}
	return out.String()
}
