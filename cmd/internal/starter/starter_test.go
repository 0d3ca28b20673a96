package starter

import (
	"os"
	"path/filepath"
	"testing"

	"dray/pipeline/config"
	"dray/pipeline/secret"
)

// TestWriteGivesAValidProject: what init writes says nothing that validate finds
// fault with, and git never sees the secrets.
func TestWriteGivesAValidProject(t *testing.T) {
	for name, before := range map[string]string{"none": "", "without an end": "bin", "already there": "/.dray\n"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "My-Shop")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			ignore := filepath.Join(dir, ".gitignore")
			if before != "" {
				if err := os.WriteFile(ignore, []byte(before), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := Write(dir); err != nil {
				t.Fatal(err)
			}
			loaded, diags := config.Load(config.Options{File: filepath.Join(dir, "dray.hcl"), Git: func() (config.Git, error) { return config.Git{}, nil }})
			if diags.HasErrors() || loaded == nil || loaded.Project.Name != "my-shop" {
				t.Errorf("the file is not valid: %v", diags)
			}
			want := map[string]string{"none": secret.Folder + "/\n", "without an end": "bin\n" + secret.Folder + "/\n", "already there": before}[name]
			if got, err := os.ReadFile(ignore); err != nil || string(got) != want {
				t.Errorf(".gitignore is %q (%v), not %q", got, err, want)
			}
		})
	}
}

func TestProjectName(t *testing.T) {
	for dir, want := range map[string]string{"shop": "shop", "My Shop-2-": "myshop-2", "42": "app", "": "app"} {
		if got := projectName(dir); got != want {
			t.Errorf("%q: got %q, want %q", dir, got, want)
		}
	}
}
