package acceptance

import (
	"strings"
	"testing"

	"dray/testenv"
	"dray/testenv/world"
)

// TestReach publishes a port at the host's loopback and then everywhere: the
// plan says that it opens and that nothing restarts, and so it is.
func TestReach(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"d1"}})
	w.App(t, "dev: d1")
	w.Replace(t, "dray.hcl", "    publish = 80\n", "    publish = 80\n    address = \"127.0.0.1\"\n")
	w.Dray(t, 0, "deploy", "dev")
	url := "http://" + w.Lab.Host("d1").Addr
	if _, err := get(url + "/up"); err == nil {
		t.Error("a port at 127.0.0.1 is reached from outside")
	}
	if out, err := w.Lab.Host("d1").Exec(t.Context(), "curl", "-fsS", "-m", "5", "http://127.0.0.1/up"); err != nil {
		t.Errorf("the host does not reach it: %v\n%s", err, out)
	}
	w.Replace(t, "dray.hcl", "    address = \"127.0.0.1\"\n", "")
	plan := w.Dray(t, 2, "plan", "dev").Stdout
	if !strings.Contains(plan, "opens 80/tcp") || !strings.Contains(plan, "nothing restarts") {
		t.Errorf("the plan does not say that it opens:\n%s", plan)
	}
	w.Dray(t, 0, "deploy", "dev")
	if _, err := get(url + "/up"); err != nil {
		t.Errorf("a port at every address: %v", err)
	}
}
