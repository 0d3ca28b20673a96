package environment

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"dray/deploy"
)

// TestKeepLooking: a host that goes away is in the picture with the reason, its
// connection is let go of, and it is seen again once it is back.
func TestKeepLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "p1")
		lost := make(chan struct{})
		gone, forgotten := false, 0
		w.onConnect = func(h *deploy.Host) { h.Done = lost }
		w.opener.Forget = func(*deploy.Host) { forgotten++; lost = make(chan struct{}); gone = true }
		ctx, cancel := context.WithCancel(t.Context())
		var said []string
		w.opener.KeepLooking(ctx, w.prod(), "p1", func(v HostStatus) {
			said = append(said, v.Error)
			switch {
			case len(said) == 1:
				close(lost)
			case gone && v.Error == "":
				cancel()
			}
		})
		if len(said) != 3 || said[0] != "" || !strings.Contains(said[1], "the connection was lost") || said[2] != "" || forgotten != 1 {
			t.Errorf("it said %q, and was forgotten %d times", said, forgotten)
		}
	})
}
