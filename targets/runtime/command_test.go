package runtime

import (
	"errors"
	"testing"
)

func TestCommandError(t *testing.T) {
	for message, want := range map[string]*CommandError{
		`unable to start container process: error during container init: exec: "nosuch": executable file not found in $PATH`: {Command: "nosuch", Reason: "executable file not found in $PATH"},
		`unable to start container process: error during container init: exec: "/etc/passwd": permission denied`:             {Command: "/etc/passwd", Reason: "permission denied"},
		`unable to start container process: error during container init: unable to find user nobody`:                         nil,
		`exec: "newuidmap": executable file not found in $PATH`:                                                              nil,
	} {
		var got *CommandError
		err := commandError(errors.New(message))
		if errors.As(err, &got) != (want != nil) || err.Error() != message {
			t.Errorf("%s: got %#v", message, err)
		}
		if want != nil && (got.Command != want.Command || got.Reason != want.Reason) {
			t.Errorf("%s: got %+v", message, got)
		}
	}
}
