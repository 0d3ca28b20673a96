package environment

import (
	"os"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

// TestInstance: who names an instance that is not there hears which are.
func TestInstance(t *testing.T) {
	var found []Container
	for _, name := range []string{"web/2", "web/1", "web/1"} {
		found = append(found, Container{Summary: container.Summary{Labels: map[string]string{"dray.instance": name}}})
	}
	if of, err := ofInstance("web/1", "dev", found, nil); len(of) != 2 || err != nil {
		t.Errorf("got %d containers, %v", len(of), err)
	}
	if _, err := ofInstance("web/9", "dev", found, nil); err == nil || err.Error() != "no instance web/9 in dev; there are: web/1, web/2" {
		t.Errorf("got %v", err)
	}
	if of, err := ofInstance("web/9", "dev", nil, nil); len(of) > 0 || err != nil {
		t.Errorf("nothing runs: got %d containers, %v", len(of), err)
	}
	if _, err := ofInstance("web/9", "dev", found, Silent{{Host: "p2", Err: os.ErrDeadlineExceeded}}); err == nil || !strings.Contains(err.Error(), "p2") {
		t.Errorf("a host is silent: %v", err)
	}
}
