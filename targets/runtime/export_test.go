package runtime

import (
	"context"
)

// RecoverBroken tries at once what Run tries from time to time.
func (e *Engine) RecoverBroken(ctx context.Context) { e.recoverBroken(ctx) }

// NoticeEnd is what the end of a shim leads to that had a container's process of
// this number.
func (e *Engine) NoticeEnd(ctx context.Context, id string, pid int) {
	if c, err := e.find(id); err == nil {
		e.noticeEnd(ctx, c, pid)
	}
}
