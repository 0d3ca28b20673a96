package agent

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// TestVolumesOfAnImageAreSaid: data that no volume keeps is warned of, once a
// service, until the file says what it is.
func TestVolumesOfAnImageAreSaid(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*pipeline.Service)
		warns  int
	}{
		"nothing is mounted":  {func(*pipeline.Service) {}, 1},
		"a volume":            {func(s *pipeline.Service) { s.Volumes = []pipeline.Volume{{Name: "d", Destination: "/data"}} }, 0},
		"a volume above it":   {func(s *pipeline.Service) { s.Volumes = []pipeline.Volume{{Name: "d", Destination: "/"}} }, 0},
		"a tmpfs":             {func(s *pipeline.Service) { s.Tmpfs = []string{"/data:size=1m"} }, 0},
		"a volume beside it":  {func(s *pipeline.Service) { s.Volumes = []pipeline.Volume{{Name: "d", Destination: "/database"}} }, 1},
		"a volume in a child": {func(s *pipeline.Service) { s.Volumes = []pipeline.Volume{{Name: "d", Destination: "/data/x"}} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.keeps = []string{"/data"}
				r := w.boot(0)
				defer r.stop()
				s := sequence{t: t, id: "d1", r: release(1, map[string]int{"web": 1}, "web/1", "web/2")}
				tt.change(&s.r.Services[0])
				lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20, ID: s.id})
				if err != nil {
					t.Fatal(err)
				}
				s.fence = lease.Fence
				var warnings []string
				_, err = r.Prepare(context.Background(), s.prepare(), event.Func(func(e event.Event) {
					if e.Type == event.Warning {
						warnings = append(warnings, e.Text)
					}
				}))
				if err != nil {
					t.Fatal(err)
				}
				if n := len(slices.DeleteFunc(warnings, func(text string) bool { return len(text) < 14 || text[:14] != "web keeps data" })); n != tt.warns {
					t.Errorf("%d warnings, want %d: %q", n, tt.warns, warnings)
				}
			})
		})
	}
}
