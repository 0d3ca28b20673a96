package agent

import (
	"fmt"

	"dray/pipeline/event"
)

// announce tells those who watch the host what somebody does to an environment.
func (a *Agent) announce(e *environment, format string, args ...any) {
	a.events.Emit(event.Event{Type: event.Notice, Project: e.project, Environment: e.name, Text: fmt.Sprintf(format, args...)})
}
