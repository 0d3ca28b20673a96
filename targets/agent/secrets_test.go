package agent

import (
	"os"
	"strings"
	"testing"

	"dray/pipeline"
	"dray/targets/api"
)

// TestSecretsOfOtherHosts: a host keeps the values that came, asks for those that
// run on it, and does without those of other hosts.
func TestSecretsOfOtherHosts(t *testing.T) {
	a := &Agent{state: t.TempDir()}
	r := &api.Release{
		Services: []pipeline.Service{
			{Name: "db", Secrets: []pipeline.Secret{{Name: "ROOT", Env: "ROOT"}}},
			{Name: "web", Secrets: []pipeline.Secret{{Name: "API", Env: "API"}}},
		},
		Secrets:   map[string]string{"ROOT": "v1", "API": "v2"},
		Placement: map[string][]string{"p1": {"db/1"}, "p2": {"web/1"}},
	}
	if err := a.keepSecrets(r, "p2", map[string]string{"v2": "api"}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(a.secretPath("v1")); err == nil {
		t.Error("it keeps the secret of another host")
	}
	if err := a.keepSecrets(r, "p1", map[string]string{}); err == nil || !strings.Contains(err.Error(), "the value of secret ROOT is not on this host") {
		t.Errorf("without the value that it needs: %v", err)
	}
}
