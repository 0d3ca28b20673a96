package runtime

import (
	"strconv"
	"strings"
)

// CommandError is a command that a container can't start.
type CommandError struct {
	Command string
	Reason  string // "executable file not found in $PATH"
	cause   error
}

func (e *CommandError) Error() string { return e.cause.Error() }

// Unwrap returns what the OCI runtime said.
func (e *CommandError) Unwrap() error { return e.cause }

// ExitCode is the one that shells give: 127 where the command is not there, 126
// otherwise.
func (e *CommandError) ExitCode() int { return exitOfStart(e) }

// commandError is err as a *CommandError, where the message of the OCI runtime
// says so: "unable to start container process: …: exec: "sh": permission denied".
func commandError(err error) error {
	message := err.Error()
	_, says, found := strings.Cut(message, ": exec: ")
	quoted, failed := strconv.QuotedPrefix(says)
	if !found || failed != nil || !strings.Contains(message, "container process: ") {
		return err
	}
	command, failed := strconv.Unquote(quoted)
	if failed != nil {
		return err
	}
	return &CommandError{Command: command, Reason: strings.TrimPrefix(says[len(quoted):], ": "), cause: err}
}
