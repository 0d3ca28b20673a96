package buildkit

import (
	"os"
	"path/filepath"
	"testing"

	"dray/builder"
	"dray/pipeline"
	"dray/pipeline/secret"
)

// TestBuildSecretsAreKnown looks that whoever has the redactor hides what a
// step was given, long after the build.
func TestBuildSecretsAreKnown(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token.txt"), []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DRAY_TEST_TOKEN", "from-a-variable")
	known := secret.NewRedactor()
	c := &Client{secrets: known}
	store := c.secretStore(builder.Request{Dir: dir, Target: pipeline.Target{Name: "app", Secrets: []pipeline.BuildSecret{
		{ID: "variable", Env: "DRAY_TEST_TOKEN"}, {ID: "file", Src: "token.txt"},
	}}})
	for id, value := range map[string]string{"variable": "from-a-variable", "file": "from-a-file"} {
		if _, err := store.GetSecret(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if got := known.String("it printed " + value + "."); got != "it printed [secret]." {
			t.Errorf("%s: shown as %q", id, got)
		}
	}
}
