package runtime

import "context"

// RecoverBroken tries at once what Run tries from time to time.
func (e *Engine) RecoverBroken(ctx context.Context) { e.recoverBroken(ctx) }
