//go:build linux && cgo

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// ps prints a container's processes with their pids in our pid namespace: as
// JSON, or as the lines that this machine's ps(1) has for them. What follows
// the container's name are options for ps; by default "-ef".
func ps(c call) (int, error) {
	container, err := load(c)
	if err != nil {
		return 1, err
	}
	pids, err := container.Processes()
	if err != nil {
		return 1, err
	}
	switch c.text("format") {
	case "json":
		return 0, json.NewEncoder(os.Stdout).Encode(pids)
	case "", "table":
	default:
		return 1, errors.New("invalid format option")
	}
	options := c.args[1:]
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	out, err := exec.Command("ps", options...).CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound) && len(c.args) == 1:
		return 0, printProcesses(pids)
	case err != nil:
		return 1, fmt.Errorf("running ps: %w: %s", err, out)
	}
	return 0, printLines(string(out), pids)
}

// printLines prints the title of what ps said, and the lines of pids.
func printLines(out string, pids []int) error {
	title, lines, _ := strings.Cut(out, "\n")
	column := slices.Index(strings.Fields(title), "PID")
	if column < 0 {
		return errors.New("couldn't find PID field in ps output")
	}
	fmt.Println(title)
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		pid, err := strconv.Atoi(fields[column])
		if err != nil {
			return fmt.Errorf("reading a pid that ps printed: %w", err)
		}
		if slices.Contains(pids, pid) {
			fmt.Print(line)
		}
	}
	return nil
}

// printProcesses prints a line for each process that still lives, on machines
// without ps.
func printProcesses(pids []int) error {
	w := tabwriter.NewWriter(os.Stdout, 8, 1, 2, ' ', 0)
	fmt.Fprint(w, "PID\tCMD\n")
	for _, pid := range pids {
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue // it ended since
		}
		for i := range command {
			if command[i] == 0 {
				command[i] = ' '
			}
		}
		fmt.Fprintf(w, "%d\t%s\n", pid, command)
	}
	return w.Flush()
}
