package testenv_test

import (
	"strings"
	"testing"

	"dray/testenv"
)

func TestSystemd(t *testing.T) {
	lab := testenv.New(t, testenv.Options{Init: testenv.Systemd})
	ctx, h := t.Context(), lab.Host("d1")
	settled := func() {
		t.Helper()
		wait(t, func() bool {
			out, _ := h.Exec(ctx, "systemctl", "is-system-running")
			return strings.TrimSpace(out) == "running" // "starting" before, "degraded" if a unit failed
		})
	}
	settled()
	must(t)(ssh(ctx, lab, "d1", `sudo sh -ec '
		printf "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n" > /etc/systemd/system/probe.service
		systemctl daemon-reload; systemctl enable --now probe.service'`))
	if err := h.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	settled()
	if got := must(t)(h.Exec(ctx, "systemctl", "show", "-P", "ControlGroup", "probe.service")); got != "/system.slice/probe.service" {
		t.Errorf("after a reboot the unit's group is %q", got)
	}
	processes, err := h.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if p.Command == "/bin/sleep 1000" {
			return
		}
	}
	t.Errorf("the unit does not run: %v", processes)
}
