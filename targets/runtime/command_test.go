package runtime

import (
	"encoding/json"
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What a Spec says of the command survives its JSON form, in which it is kept.
func TestCommandOfAStoredSpec(t *testing.T) {
	image := ocispec.ImageConfig{Entrypoint: []string{"/entry"}, Cmd: []string{"serve"}}
	for _, test := range []struct {
		name string
		spec Spec
		want []string
	}{
		{"the image's", Spec{}, []string{"/entry", "serve"}},
		{"a command", Spec{Command: []string{"x"}}, []string{"/entry", "x"}},
		{"no command", Spec{Command: []string{}}, []string{"/entry"}},
		{"no entrypoint", Spec{Entrypoint: []string{}, Command: []string{"x"}}, []string{"x"}},
		{"neither", Spec{Entrypoint: []string{}}, nil},
	} {
		text, err := json.Marshal(test.spec)
		if err != nil {
			t.Fatal(err)
		}
		var back Spec
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		got, err := commandOf(back, image)
		if !slices.Equal(got, test.want) || (err != nil) != (test.want == nil) {
			t.Errorf("%s: got %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}
